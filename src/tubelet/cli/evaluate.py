"""`tubelet evaluate MODEL DATA`: how often a model is right on a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tubelet.cli.data import source_from_flags, with_data

if TYPE_CHECKING:
    from tubelet.evaluation.report import Report


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How often a model is right on a dataset, and what it says of every video.

    The results are a folder: manifest.json (what made them), videos.jsonl (a line for each video), metrics.json, and
    confusion matrices. An evaluation that was killed goes on by the same command, and computes nothing twice. Under
    torchrun several processes share the videos.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model folder or weights file."""
    data: Any
    """A folder per class, a CSV of paths and labels, shards, or what --data.kind says."""
    split: str = "test"
    """Which split of the data."""
    views: tuple[str, ...] = ()
    """Temporal x spatial views to average, such as 4x3. Several, such as 1x1 1x3 4x3, are evaluated one after the
    other and compared with their cost, as a table and a picture. Default: the model's own."""
    average: Literal["logits", "probabilities"] = "logits"
    """What of the views is averaged; officially the logits."""
    shuffle_frames: bool = False
    """Show the frames of each clip in random order: how much does the model use time?"""
    per_class: bool = False
    """A row for each class too."""
    out: Path | None = None
    """The folder of the results; of several views it gets one for each. Default: results/MODEL-SPLIT-VIEWS, with a
    number behind it where that holds another evaluation."""
    table: Literal["csv", "parquet"] | None = None
    """Write the videos as CSV or Parquet too."""
    submission: Path | None = None
    """EPIC-Kitchens-100: write the challenge's JSON to this new file."""
    supervision: tuple[int, int, int] | None = None
    """For the submission: levels of pretraining, labels and data, 0 to 5 each, as github.com/epic-kitchens/sls."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"
    """In what precision to compute; auto: bfloat16 where the device has hardware for it, else float32; int8: the
    blocks, on a CPU."""
    merge: float = 0.0
    """Share of the tokens of each block that become one with their likest, 0 to 0.5: less work, other answers."""
    drop: float | None = None
    """Leave out tubelets that differ by no more than this from the last one computed at their place."""
    drop_frames: float | None = None
    """Model 2: leave out times that differ by no more than this from the last one computed; 0 changes no answer."""
    chunk: int = 8
    """Views at a time through the model: less needs less memory."""
    workers: int = 0
    """Processes that decode; 0: this one."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if all videos could be read, 1 if some could not.

    Always 0 under torchrun, which stops all processes and speaks of a failure when one ends with another code.
    """
    options = tyro.cli(with_data(Evaluate, arguments), prog=prog, args=arguments)
    from rich.console import Console

    from tubelet.cli.console import chosen_dtype
    from tubelet.distributed import processes
    from tubelet.evaluation.evaluate import evaluate
    from tubelet.loading import load

    check(options)
    source = source_from_flags(options.data)
    with processes(options.device) as who:
        dtype = chosen_dtype(options.dtype, who.device, Console(stderr=True, quiet=not who.first))
        classifier = load(options.model).to(who.device, dtype)
        if options.merge or options.drop is not None or options.drop_frames is not None:
            classifier = classifier.with_fewer_tokens(
                merge=options.merge, drop=options.drop, drop_frames=options.drop_frames
            )
        reports: list[Report] = []
        for views in dict.fromkeys(options.views) or (classifier.view.views,):
            reports.append(
                evaluate(
                    classifier,
                    source,
                    options.split,
                    views,
                    average=options.average,
                    chunk=options.chunk,
                    workers=options.workers,
                    out=folder_of(options, views),
                    number=options.out is None,
                    shuffle_frames=options.shuffle_frames,
                )
            )
            if who.first:
                show(reports[-1], options)
        if who.first and len(reports) > 1:
            compare(reports)
    return 1 if reports[-1].unreadable and who.count == 1 else 0


def check(options: Any) -> None:
    """Refuse before the work what would fail after it.

    Raises:
        ConfigError: for views, a table or a submission that cannot be written.
        FileExistsError: if the submission is there.
    """
    from tubelet.errors import ConfigError
    from tubelet.evaluation.tables import check_table
    from tubelet.video.checks import parse_views

    for views in options.views:
        parse_views(views)
    if options.table is not None:
        check_table(options.table)
    if (options.submission is None) != (options.supervision is None):
        raise ConfigError(
            "--submission FILE and --supervision PRETRAINING LABELS DATA belong together, such as --supervision "
            "1 3 3: github.com/epic-kitchens/sls says what the levels from 0 to 5 mean."
        )
    if options.submission is not None:
        if len(options.views) > 1:
            raise ConfigError("A submission is of one kind of views: give --views once, such as --views 4x3.")
        if options.submission.exists():
            raise FileExistsError(f"{options.submission} exists and is not overwritten: name another file.")


def folder_of(options: Any, views: str) -> Path:
    """Where the results of some views go."""
    if options.out is not None:
        return options.out / views if len(options.views) > 1 else options.out
    return Path("results", f"{Path(options.model).resolve().name}-{options.split}-{views}")


def show(report: "Report", options: Any) -> None:
    """Print the numbers, and write what was asked for beside them."""
    from tubelet.cli.console import stdout
    from tubelet.evaluation.submission import write_submission
    from tubelet.evaluation.tables import write_table

    console = stdout()
    console.print(report.table(options.per_class))
    folder = report.results.folder
    assert folder is not None
    if options.table is not None:
        write_table(report.results, folder, options.table)
    files = ", ".join(sorted(file.name for file in folder.iterdir()))
    console.print(f"Results: {folder} ({files})", highlight=False, markup=False, soft_wrap=True)
    if options.submission is not None:
        write_submission(report.results, options.submission, options.supervision)
        console.print(f"Submission: {options.submission}", highlight=False, markup=False, soft_wrap=True)


def compare(reports: "Sequence[Report]") -> None:
    """Print accuracy against cost, and write it beside the results of the most views."""
    from tubelet.cli.console import stdout
    from tubelet.evaluation.compare import by_cost, compared, write_comparison

    console = stdout()
    console.print(compared(reports))
    folder = by_cost(reports)[-1].results.folder
    assert folder is not None
    files = " and ".join(map(str, write_comparison(reports, folder)))
    console.print(f"Comparison: {files}", highlight=False, markup=False, soft_wrap=True)
