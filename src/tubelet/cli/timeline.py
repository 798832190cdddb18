"""`tubelet timeline VIDEO`: what happens when in a video of any length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from tubelet.timelines.rules import Rules
    from tubelet.timelines.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """What happens when in a video of any length: segments as a table, JSON, CSV, subtitles, pictures and a film.

    Ctrl-C ends it early; what was asked for is then written of what was seen.
    """

    video: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="VIDEO")]
    """A video file, or a folder of images."""
    model: str = "camera-motion"
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    hop: int | None = None
    """From one window to the next, in frames of a clip. Default: the model's own, or a quarter of a window."""
    window_seconds: float | None = None
    """The time that a window spans, in place of the model's stride or rate."""
    respect_cuts: bool = False
    """Find hard cuts; no window reaches over one."""
    smooth: Literal["none", "mean", "exponential"] = "none"
    """Smooth over time: a centred moving mean, or an exponential average of what was before."""
    smooth_seconds: float = 1.0
    """Width of the mean, or time constant of the exponential average."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is smoothed."""
    enter: float | None = None
    """The probability at which a class begins. Default: the best class always holds, above the model's own threshold;
    where several may hold, each from 0.5."""
    leave: float | None = None
    """The probability below which it ends; needs --enter. Default: as --enter."""
    least_seconds: float = 0.0
    """Drop segments that are shorter."""
    merge_seconds: float = 0.0
    """Join segments of one class that follow each other within this time."""
    background: tuple[str, ...] = ()
    """Classes that mean that nothing happens, such as none: they get no segments."""
    json: Path | None = None
    """Write the segments, and what made them, as JSON."""
    csv: Path | None = None
    """Write the segments as CSV."""
    srt: Path | None = None
    """Write the segments as subtitles."""
    probabilities: Path | None = None
    """Write all probabilities over time as CSV."""
    png: Path | None = None
    """Draw probabilities and segments over time."""
    html: Path | None = None
    """The same as one page, with a table of the segments."""
    overlay: Path | None = None
    """Write the video with the labels in it as MP4, without sound."""
    overwrite: bool = False
    """Replace files that are there."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"
    """In what precision to compute; auto: bfloat16 where the device has hardware for it, else float32; int8: the
    blocks, on a CPU."""
    batch_size: int = 8
    """Most windows to put through the model at a time."""

    def rules(self) -> "Rules":
        """How answers become segments."""
        from tubelet.timelines.rules import Rules

        return Rules(
            smooth=self.smooth, smooth_seconds=self.smooth_seconds, average=self.average, enter=self.enter,
            leave=self.leave, least_seconds=self.least_seconds, merge_seconds=self.merge_seconds,
            background=self.background,
        )  # fmt: skip


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0; 1 if the video broke off, 130 if it was interrupted, after what was seen is written."""
    options = tyro.cli(TimelineOptions, prog=prog, args=arguments)
    import torch
    from rich.console import Console

    from tubelet.cli.console import chosen_dtype, stdout
    from tubelet.errors import DecodeError
    from tubelet.loading import load
    from tubelet.timelines.timeline import Tracker
    from tubelet.timelines.write import refuse_existing

    for file in files_of(options):
        refuse_existing(file, options.overwrite)
    rules = options.rules()
    errors = Console(stderr=True)
    dtype = chosen_dtype(options.dtype, torch.device(options.device), errors)
    tracker = Tracker(
        load(options.model).to(options.device, dtype), options.video, hop=options.hop,
        window_seconds=options.window_seconds, respect_cuts=options.respect_cuts, batch_size=options.batch_size,
    )  # fmt: skip
    code = 0
    try:
        tracker.run(progress=True)
    except DecodeError as error:
        if not tracker.seen_seconds:
            raise
        errors.print(f"[red]failed[/] {error}", highlight=False, soft_wrap=True)
        code = 1
    except KeyboardInterrupt:
        errors.print(f"Interrupted after {tracker.seen_seconds:.1f} s of video.", highlight=False)
        code = 130
    timeline = tracker.timeline(rules)
    if not files_of(options):
        stdout().print(table_of(timeline))
    write_files(options, timeline)
    for file in files_of(options):
        errors.print(str(file), highlight=False, markup=False, soft_wrap=True)
    return code


def files_of(options: TimelineOptions) -> list[Path]:
    """What is to be written."""
    asked = (
        options.json, options.csv, options.srt, options.probabilities, options.png, options.html, options.overlay,
    )  # fmt: skip
    return [file for file in asked if file is not None]


def write_files(options: TimelineOptions, timeline: "Timeline") -> None:
    """Everything that was asked for."""
    from tubelet.timelines.overlay import write_overlay
    from tubelet.timelines.page import as_page
    from tubelet.timelines.picture import draw_timeline
    from tubelet.timelines.write import as_csv, as_json, as_srt, probabilities_csv, put

    makers: list[tuple[Path | None, Callable[[Timeline], str | bytes]]] = [
        (options.json, as_json), (options.csv, as_csv), (options.srt, as_srt),
        (options.probabilities, probabilities_csv), (options.png, draw_timeline), (options.html, as_page),
    ]  # fmt: skip
    for file, make in makers:
        if file is not None:
            put(file, make(timeline), options.overwrite)
    if options.overlay is not None:
        write_overlay(timeline, options.video, options.overlay, options.overwrite)


def table_of(timeline: "Timeline") -> "Table":
    """A line for each segment."""
    from rich.table import Table

    from tubelet.timelines.chart import clock

    table = Table(title=f"{Path(timeline.video).name}, {clock(timeline.duration_seconds)}")
    for column in ("from", "to", "head", "label", "probability"):
        table.add_column(column, justify="right" if column in ("from", "to", "probability") else "left")
    for s in timeline.segments():
        table.add_row(clock(s.start_seconds), clock(s.end_seconds), s.head, s.label, f"{s.probability:.0%}")
    return table
