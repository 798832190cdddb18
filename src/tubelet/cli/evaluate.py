"""`tubelet evaluate MODEL DATA`: how often a model is right on a dataset."""

import json as json_module
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tubelet.cli.data import source_from_flags, with_data


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How often a model is right on a dataset: top-1, top-5, balanced, per class."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model folder or weights file."""
    data: Any
    """A folder per class, a CSV of paths and labels, shards, or what --data.kind says."""
    split: str = "test"
    """Which split of the data."""
    views: str | None = None
    """Temporal x spatial views to average, such as 4x3. Default: the model's own."""
    shuffle_frames: bool = False
    """Show the frames of each clip in random order: how much does the model use time?"""
    per_class: bool = False
    """A row for each class too."""
    json: Path | None = None
    """Write the numbers as JSON to this new file."""
    out: Path | None = None
    """Write a line of JSON for each video to this new file."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    batch_size: int = 8
    """Videos at a time."""
    workers: int = 0
    """Processes that decode; 0: this one."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if all videos could be read, 1 if some could not."""
    options = tyro.cli(with_data(Evaluate, arguments), prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.evaluation.evaluate import evaluate
    from tubelet.loading import load

    if options.json is not None and options.json.exists():
        raise FileExistsError(f"{options.json} exists and is not overwritten: name another file.")
    report = evaluate(
        load(options.model).to(options.device),
        source_from_flags(options.data),
        options.split,
        options.views,
        batch_size=options.batch_size,
        workers=options.workers,
        shuffle_frames=options.shuffle_frames,
        predictions=options.out,
    )
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json_module.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    stdout().print(report.table(options.per_class))
    return 1 if report.unreadable else 0
