"""Data on the command line: the fields of a source are its flags, so that what can be said is said once."""

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.data.source import Source

T = TypeVar("T")

Kind = Literal["folders", "table", "kinetics", "ssv2", "epic", "moments", "ucf101", "hmdb51", "shards"]

SOURCES: dict[Kind, str] = {
    "folders": "Folders",
    "table": "Table",
    "kinetics": "Kinetics",
    "ssv2": "SomethingSomethingV2",
    "epic": "EpicKitchens",
    "moments": "MomentsInTime",
    "ucf101": "Ucf101",
    "hmdb51": "Hmdb51",
    "shards": "Shards",
}
"""Each is a class of `tubelet.data`."""

PLACES: dict[Kind, str] = {
    "folders": "A folder with a folder of videos for each class (train, val, test folders may stand above them).",
    "table": "A CSV file with a header.",
    "shards": "The folder or URL of the shards.",
}
"""What `DATA` is, where it is not the folder of the videos."""

KIND_HELP = (
    "What the data are. A .csv file is a table, a folder or URL of shards is shards, all else is folders. "
    "Each kind has flags of its own: --data.kind kinetics --help lists those of kinetics."
)
QUARANTINE_HELP = "Leave out the clips in this file, which tubelet check --fix-list wrote."


def flags(arguments: Sequence[str], positional: bool = False, usual: Kind | None = None) -> type[Any]:
    """The flags of the kind of data that a command line names: a dataclass for tyro.

    Args:
        arguments: the command line.
        positional: the data are the argument `DATA`, not the flag `--data.root`.
        usual: what they are where the command line does not say it. None: what they look like.
    """
    kind = kind_of(arguments, usual)
    source = source_class(kind)
    place = "file" if kind == "table" else "root"
    types = {f.name: f.type for f in fields(source)}
    about = PLACES.get(kind, "The folder of the videos.")
    found: Any = str if types[place] in (str, "str") else Path
    if positional:
        root = Annotated[tyro.conf.Positional[found], tyro.conf.arg(metavar="DATA", help=about)]
    else:
        root = Annotated[found, tyro.conf.arg(name="root", help=about)]
    own: list[Any] = [
        (place, root),
        ("kind", Annotated[Kind, tyro.conf.arg(help=KIND_HELP)], field(default=kind)),
        ("quarantine", Annotated[Path | None, tyro.conf.arg(help=QUARANTINE_HELP)], field(default=None)),
    ]
    if "fractions" in types:
        from tubelet.data.source import Fractions

        own.append(
            ("fractions", Annotated[Fractions, tyro.conf.arg(name="")], field(default_factory=Fractions))
        )
    return make_dataclass("Data", own, bases=(source,), frozen=True, kw_only=True)


def with_data(options: type[T], arguments: Sequence[str]) -> type[T]:
    """A command's options, whose field `data` takes the argument `DATA` and the flags of the kind it is of."""
    own = [("data", flags(arguments, positional=True))]
    made = make_dataclass(options.__name__, own, bases=(options,), frozen=True, kw_only=True)
    made.__doc__ = options.__doc__
    return made


def source_from_flags(data: Any) -> "Source":
    """The source that these flags describe.

    Raises:
        DataError: if the quarantine cannot be read, or names no clip of the data.
    """
    from tubelet.data.quarantine import Without

    kind = source_class(data.kind)
    source: Source = kind(**{f.name: getattr(data, f.name) for f in fields(kind)})
    return source if data.quarantine is None else Without(source=source, clips=data.quarantine)


def source_class(kind: Kind) -> type[Any]:
    """The class of a kind of data.

    Raises:
        ConfigError: for another name.
    """
    import tubelet.data

    if kind not in SOURCES:
        raise ConfigError(f"--data.kind {kind}: there are {', '.join(SOURCES)}.")
    return getattr(tubelet.data, SOURCES[kind])


def kind_of(arguments: Sequence[str], usual: Kind | None = None) -> Kind:
    """What the data on a command line are: what `--data.kind` says, what is usual, or else what they look like."""
    from tubelet.data.shards import INDEX
    from tubelet.data.stored import is_url

    spread = [part for argument in arguments for part in split_flag(argument)]
    places: list[str] = []
    for before, argument in zip(["", *spread], spread, strict=False):
        if before == "--data.kind":
            return argument  # pyright: ignore[reportReturnType]  # checked by `source_class`
        if before == "--data.root" or not before.startswith("--"):
            places.append(argument)
    if usual is not None:
        return usual
    if any(place.lower().endswith(".csv") for place in places):
        return "table"
    if any(is_url(place) or (Path(place) / INDEX).is_file() for place in places):
        return "shards"
    return "folders"


def split_flag(argument: str) -> list[str]:
    """`--flag=value` as the two that it is."""
    return argument.split("=", 1) if argument.startswith("--data.") and "=" in argument else [argument]
