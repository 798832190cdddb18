"""`tubelet doctor`: what is wrong with a run, before it starts or after it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

MARKS = {
    "good": "[green]good[/]",
    "look": "[yellow]look[/]",
    "bad": "[bold red]bad[/]",
    "not yet": "[dim]not yet[/]",
}


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Look at a run: first loss, one batch, leaks, time and memory; of one that has epochs, what it learned."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The folder of a run. Before there is one: a recipe and its flags, as of `tubelet train`."""
    seconds: float = 20.0
    """How long one batch may be learned, at most."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if nothing is wrong, 1 if something is."""
    from rich.markup import escape

    from tubelet.cli.console import stdout
    from tubelet.cli.train import RECIPES, run_from_shell

    seconds = Doctor.seconds
    if arguments and arguments[0] in RECIPES:
        run = run_from_shell(prog, arguments)
    else:
        options = tyro.cli(Doctor, prog=prog, args=arguments)
        from tubelet.training.record import read_run

        run, seconds = read_run(options.run), options.seconds
    from tubelet.training.doctor import examine

    console = stdout()
    checks = examine(run, seconds)
    for check in checks:
        console.print(f"{MARKS[check.state]}  [bold]{check.name}[/]: {escape(check.found)}", highlight=False)
        if check.advice:
            console.print(f"      {escape(check.advice)}", highlight=False)
    return int(any(check.state == "bad" for check in checks))
