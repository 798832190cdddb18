"""`tubelet train RECIPE`: the flags are the parameters of the recipe, and the fields of the run that it makes."""

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import field, fields, make_dataclass
from functools import wraps
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from tubelet.cli.data import SOURCES, Kind, flags, source_from_flags
from tubelet.errors import ConfigError
from tubelet.recipes import RECIPES

if TYPE_CHECKING:
    from tubelet.training.config import Train

MADE = ("data", "out", "init")
"""Fields of a run that parameters of its recipe stand for."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 when the training is done."""
    if not arguments or arguments[0] not in RECIPES:
        return usage(prog, arguments)
    run = run_from_shell(prog, arguments)
    from tubelet.distributed import is_first
    from tubelet.training.loop import train

    train(run)
    if is_first():
        print(f"The best model is in {run.out}:  tubelet predict VIDEO --model {run.out}")
    return 0


def usage(prog: str, arguments: Sequence[str]) -> int:
    """Print the list of recipes: to standard output if asked for, else as an error."""
    asked = list(arguments) in (["--list"], ["-h"], ["--help"])
    out = sys.stdout if asked else sys.stderr
    if arguments and not asked:
        print(f"There is no recipe {arguments[0]!r}.\n", file=out)
    print(f"usage: {prog} RECIPE ...   ({prog} RECIPE --help tells more)\n", file=out)
    width = max(map(len, RECIPES)) + 2
    for name, recipe in RECIPES.items():
        print(f"  {name:{width}}{recipe.about}", file=out)
    return 0 if asked else 2


def run_from_shell(prog: str, arguments: Sequence[str]) -> "Train":
    """The run that a recipe and its flags make.

    The recipe takes the flags that are parameters of its own, and what it makes the others, whose defaults are
    therefore the recipe's values.
    """
    name, rest = arguments[0], arguments[1:]
    recipe = recipe_named(name)
    prog = f"{prog} {name}"
    if {"-h", "--help"} & set(rest):
        print(help_of(recipe, prog, rest))
        raise SystemExit(0)
    run, others = tyro.cli(from_shell(recipe, rest), prog=prog, args=rest, return_unknown_args=True)
    return changed(run, others, prog)


def recipe_named(name: str) -> "Callable[..., Train]":
    """The function."""
    return getattr(import_module(f"tubelet.recipes.{RECIPES[name].module}"), name)


def from_shell(recipe: "Callable[..., Train]", arguments: Sequence[str]) -> "Callable[..., Train]":
    """The recipe with its data as they are named on the command line.

    A recipe for one kind of data (`data: Kinetics`) takes these unless another kind is named.
    """
    signature = inspect.signature(recipe)
    wanted = getattr(signature.parameters["data"].annotation, "__name__", "")
    usual: Kind | None = next((kind for kind, name in SOURCES.items() if name == wanted), None)
    data_flags = flags(arguments, usual=usual)

    @wraps(recipe)
    def named(data: Any, **settings: Any) -> "Train":
        return recipe(source_from_flags(data), **settings)

    parameters = [
        p.replace(
            annotation=data_flags if p.name == "data" else p.annotation, kind=inspect.Parameter.KEYWORD_ONLY
        )
        for p in signature.parameters.values()
    ]
    named.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    named.__annotations__ = {**recipe.__annotations__, "data": data_flags}
    del named.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
    return named


def changed(run: "Train", arguments: Sequence[str], prog: str) -> "Train":
    """The run with the fields that a command line changes, such as `--optimizer.lr 0.05`.

    Raises:
        ConfigError: where fields make no sense, alone or together.
    """
    from tubelet.training.config import Train

    values = vars(run)
    found = tyro.cli(settings_of(run), prog=prog, args=arguments, config=(tyro.conf.AvoidSubcommands,))
    made = {f.name: getattr(found, f.name) for f in fields(Train)} | {name: values[name] for name in MADE}
    if made["model"].classes != run.model.classes:
        raise ConfigError("--model.classes: the classes are those of the data, and nothing to choose.")
    return Train(**made)


def settings_of(run: "Train") -> type[Any]:
    """The fields of a run that flags can change, with their values: a dataclass for tyro."""
    from tubelet.training.config import Train

    hidden = tyro.conf.Suppress[tyro.conf.Fixed[Any]]
    own: list[Any] = [
        (f.name, hidden if f.name in MADE else f.type, default(getattr(run, f.name))) for f in fields(Train)
    ]
    return make_dataclass("Settings", own, bases=(Train,), frozen=True, kw_only=True)


def default(value: Any) -> Any:
    """A field that has this value."""
    return field(default_factory=lambda: value)


def help_of(recipe: "Callable[..., Train]", prog: str, arguments: Sequence[str]) -> str:
    """What `RECIPE --help` prints: the recipe's own parameters, then the fields of the run that it makes."""
    own = printed(from_shell(recipe, arguments), prog)
    wanted = [
        p.name for p in inspect.signature(recipe).parameters.values() if p.default is inspect.Parameter.empty
    ]
    if set(wanted) - {"data", "out"}:
        return f"{own}\nThe settings of the run are flags too, such as --optimizer.lr: see folder --help."
    run = recipe(data=None, out=Path("OUT"))  # nothing looks at data before the training
    made = printed(settings_of(run), prog)
    boxes = made.split("\n", 2)[2]  # without the usage, which stands above
    return f"{own}\nThe settings of the run are flags too. These are the recipe's values:\n\n{boxes}"


def printed(what: Any, prog: str) -> str:
    """The help of some flags."""
    shown = TextIOWrapper(BytesIO(), encoding=sys.stdout.encoding)  # which decides how boxes are drawn
    with redirect_stdout(shown), suppress(SystemExit):
        tyro.cli(what, prog=prog, args=["--help"], config=(tyro.conf.AvoidSubcommands,))
    shown.seek(0)
    return shown.read()
