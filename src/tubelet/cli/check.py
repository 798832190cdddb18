"""`tubelet check DATA`: what is wrong with a dataset, before it costs a training."""

import json as json_module
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.table import Table

from tubelet.cli.data import source_from_flags, with_data

if TYPE_CHECKING:
    from tubelet.data.check import Report

SHOWN = 10
"""Lines of each kind of finding in the terminal; --json has them all."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Decode every clip and tell what is wrong: broken files, duplicates, leaks between splits, empty classes."""

    data: Any
    """A folder per class, a CSV of paths and labels, shards, or what --data.kind says."""
    fix_list: Path | None = None
    """Write the clips to leave out to this new file, for --data.quarantine: broken ones, and those of train (or val)
    that test (or val) has too."""
    json: Path | None = None
    """Write everything that was found as JSON to this new file."""
    workers: int = 2
    """Processes that decode; 0: this one."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if nothing is wrong, 1 if something is, 130 if interrupted: then for what was decoded."""
    options = tyro.cli(with_data(Check, arguments), prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.data.check import check
    from tubelet.data.quarantine import write_list

    for file in (options.fix_list, options.json):
        if file is not None and file.exists():
            raise FileExistsError(f"{file} exists and is not overwritten: name another file.")
    report = check(source_from_flags(options.data), workers=options.workers)
    console = stdout()
    show(report, console)
    if options.json is not None:
        options.json.write_text(
            json_module.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    if options.fix_list is not None and report.complete:
        clips = report.quarantine()
        write_list(options.fix_list, clips)
        console.print(f"{options.fix_list}: {len(clips)} clips to leave out.", highlight=False)
    if not report.complete:
        console.print("Interrupted: this is about the clips decoded so far, and no list was written.")
        return 130
    return 0 if report.sound else 1


def show(report: "Report", console: Console) -> None:
    """The report as tables and lists."""
    table = Table()
    for column in ("split", "clips", "broken", "missing", "sizes", "frames", "seconds", "per second"):
        table.add_column(column, justify="left" if column in ("split", "sizes") else "right")
    broken = {name: sum(s.split == name for s, _ in report.broken) for name in report.splits}
    for name, split in report.splits.items():
        numbers = (split.clips, broken[name], len(split.missing))
        spans = (
            f"{low:.4g} - {middle:.4g} - {high:.4g}" for low, middle, high in (split.frames, split.seconds)
        )
        table.add_row(name, *map(str, numbers), few(split.sizes), *spans, few(split.frame_rates))
    console.print(table)
    for name, split in report.splits.items():
        for head, counts in split.classes.items():
            least, most = min(counts.values()), max(counts.values())
            absent = split.absent(head)
            without = (
                f"; none of {', '.join(absent[:SHOWN])}{', ...' if len(absent) > SHOWN else ''}"
                if absent
                else ""
            )
            line = f"{name}, {head}: {len(counts)} classes, {least} to {most} clips each{without}"
            console.print(line, highlight=False, markup=False)
    lists = {
        "Cannot be read": [why if s.name in why else f"{s.name}: {why}" for s, why in report.broken],
        "In several splits": [told(copies.clips, copies.likeness) for copies in report.leaks],
        "Twice in a split": [
            told(copies.clips, copies.likeness) for copies in report.copies if not copies.leak
        ],
        "The same clip with different labels": [
            told(copies.clips, copies.likeness) for copies in report.copies if copies.contradiction
        ],
        "Groups in several splits": [f"{g}: {', '.join(s)}" for g, s in report.torn.items()],
        "Missing": [f"{name} ({split})" for split, found in report.splits.items() for name in found.missing],
    }
    for title, lines in lists.items():
        if lines:
            console.print(f"\n[bold]{title}: {len(lines)}[/]")
            for line in lines[:SHOWN]:
                console.print(f"  {line}", highlight=False, markup=False)
            if len(lines) > SHOWN:
                console.print(f"  ... and {len(lines) - SHOWN} more (--json FILE has them)", highlight=False)
    if report.sound and report.complete:
        console.print("\nNothing is wrong.")


def few(counts: dict[str, int]) -> str:
    """The most frequent kinds."""
    kinds = list(counts)
    return ", ".join(kinds[:3]) + (f" and {len(kinds) - 3} more" if len(kinds) > 3 else "")


def told(clips: Iterable[Any], likeness: float) -> str:
    """Copies in one line."""
    names = " = ".join(f"{sample.name} ({sample.split})" for sample in clips)
    return names if likeness == 1 else f"{names}, nearly the same ({likeness:.3f})"
