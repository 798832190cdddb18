"""`tubelet train RECIPE`: the flags are the parameters of the recipe."""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import tyro

from tubelet.cli.data import SOURCES, Kind, flags, source_from_flags

if TYPE_CHECKING:
    from tubelet.training.config import Train

RECIPES: dict[str, str] = {"folder": "your own clips: a folder per class, or a CSV of paths and labels"}
"""Each is a function of its name in `tubelet.recipes`, in a module of its name."""


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


def run_from_shell(prog: str, arguments: Sequence[str]) -> "Train":
    """The run that a recipe and its flags make."""
    from importlib import import_module

    name = arguments[0]
    recipe = getattr(import_module(f"tubelet.recipes.{name}"), name)
    return tyro.cli(from_shell(recipe, arguments[1:]), prog=f"{prog} {name}", args=arguments[1:])


def usage(prog: str, arguments: Sequence[str]) -> int:
    """Print the list of recipes: to standard output if asked for, else as an error."""
    asked = list(arguments) in (["--list"], ["-h"], ["--help"])
    out = sys.stdout if asked else sys.stderr
    if arguments and not asked:
        print(f"There is no recipe {arguments[0]!r}.\n", file=out)
    print(f"usage: {prog} RECIPE ...   ({prog} RECIPE --help tells more)\n", file=out)
    for name, about in RECIPES.items():
        print(f"  {name:10}{about}", file=out)
    return 0 if asked else 2


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
