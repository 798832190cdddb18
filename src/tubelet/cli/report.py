"""`tubelet report RESULTS`: an evaluation as a page to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write what tubelet evaluate found as one HTML page: how good is the model, and where does it fail?

    The page needs no network and no other file. It shows frames of the surest mistakes, from the videos where they
    were when they were evaluated.
    """

    results: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RESULTS... [PAGE.html]")
    ]
    """The folder of an evaluation; or of several of the same videos, which are compared: all else on the page is of
    the first. Last, the page, a name that ends in .html; default: report.html in the first folder. A page that this
    command wrote is replaced, anything else is not."""
    clips: bool = False
    """Put playable films of the shown videos into the page."""
    examples: int = 12
    """Most videos to show of a kind, such as the surest mistakes of a head."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Report, prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.errors import ConfigError
    from tubelet.evaluation.page import write_page
    from tubelet.evaluation.report import report
    from tubelet.evaluation.results import read_results

    named = bool(options.results) and options.results[-1].suffix == ".html"
    folders = options.results[:-1] if named else options.results
    if not folders:
        raise ConfigError("Name the folder of an evaluation: tubelet evaluate prints it.")
    page = options.results[-1] if named else folders[0] / "report.html"
    found = [report(read_results(folder)) for folder in folders]
    write_page(found, page, clips=options.clips, examples=options.examples)
    size = page.stat().st_size / 1e6
    stdout().print(f"Page: {page} ({size:.1f} MB)", highlight=False, markup=False, soft_wrap=True)
    return 0
