"""A run read back from its folder."""

import json
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from tubelet.errors import ConfigError
from tubelet.training.config import KIND, Train
from tubelet.training.folder import SETTINGS


def read_run(folder: Path) -> Train:
    """The run that a folder holds.

    Raises:
        ConfigError: if it holds none, or one whose data are of a class of the user's own.
    """
    file = folder / SETTINGS
    if not file.is_file():
        raise ConfigError(f"{folder} holds no run: there is no {SETTINGS} in it.")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return revived(Train, {**values, "out": str(folder)})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{file} is not of this version of Tubelet, or damaged: {error!r}") from error


def revived(hint: Any, value: Any) -> Any:
    """A plain value, such as JSON has it, as its type: the inverse of `tubelet.training.config.plain`."""
    if isinstance(value, dict):
        values = cast("dict[str, Any]", value)
        made = source_class(values[KIND]) if KIND in values else dataclass_of(hint)
        if made is None:
            return values
        hints = get_type_hints(made)
        return made(**{name: revived(hints[name], item) for name, item in values.items() if name != KIND})
    if isinstance(value, list):
        items = cast("list[Any]", value)
        inside = [a for a in get_args(hint) if a is not Ellipsis] if get_origin(hint) is tuple else []
        return tuple(revived(inside[0] if inside else None, item) for item in items)
    if isinstance(value, str) and Path in choices(hint):
        return Path(value)
    return value


def choices(hint: Any) -> list[Any]:
    """The types that a value may have."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for kind in get_args(hint) if kind is not NoneType]
    return [hint]


def dataclass_of(hint: Any) -> Any:
    """The dataclass among the types that a value may have."""
    return next((kind for kind in choices(hint) if hasattr(kind, "__dataclass_fields__")), None)


def source_class(name: str) -> Any:
    """A source's class by its name, of Tubelet's own only: a file does not choose what is imported.

    Raises:
        ConfigError: for any other.
    """
    module, _, kind = name.rpartition(".")
    if not module.startswith("tubelet.data."):
        raise ConfigError(f"The run's data are of {name}, which is not Tubelet's: make the `Train` yourself.")
    return getattr(import_module(module), kind)
