"""`tubelet predict`: what happens in videos."""

import csv
import glob
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from tubelet.classifier import Classifier
    from tubelet.prediction import Failure, Prediction


@dataclass(frozen=True, kw_only=True)
class Predict:
    """What happens in videos: a table of the best answers for each, or JSON, CSV, a contact sheet."""

    videos: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="VIDEO ...")]
    """Video files, folders (searched through for videos; one of only images is a video), or patterns."""
    model: str = "camera-motion"
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    views: str | None = None
    """Temporal x spatial views to average, such as 4x3. Default: the model's own."""
    top: int = 5
    """How many answers to show for each head."""
    json: str | None = None
    """Write the predictions as JSON to this file; - for standard output."""
    csv: str | None = None
    """Write the predictions as CSV to this file; - for standard output."""
    sheet: Path | None = None
    """Draw a contact sheet of frames and answers to this PNG file."""
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
    batch_size: int = 8
    """Most clips to put through the model at a time."""
    trust: bool = False
    """Execute the code that an exported .pt2 file holds: only for files of people you trust."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if all videos were predicted, 1 if some were, 2 if none was."""
    options = tyro.cli(Predict, prog=prog, args=arguments)
    import torch
    from rich.console import Console

    from tubelet.cli.console import chosen_dtype
    from tubelet.errors import ConfigError
    from tubelet.loading import load
    from tubelet.prediction import Prediction

    if not options.videos:
        raise ConfigError("Nothing to predict: give video files, folders or patterns.")
    for target in (options.json, options.csv):
        if target not in (None, "-") and Path(str(target)).exists():
            raise FileExistsError(f"{target} exists and is not overwritten: name another file.")
    if options.sheet is not None and options.sheet.exists():
        raise FileExistsError(f"{options.sheet} exists and is not overwritten: name another file.")
    files = find_videos(options.videos)
    errors = Console(stderr=True)
    dtype = chosen_dtype(options.dtype, torch.device(options.device), errors)
    classifier = load(options.model, trust=options.trust).to(options.device, dtype)
    if options.merge or options.drop is not None or options.drop_frames is not None:
        classifier = classifier.with_fewer_tokens(
            merge=options.merge, drop=options.drop, drop_frames=options.drop_frames
        )
    outcomes = list(
        classifier.predict_many(files, options.views, batch_size=options.batch_size, progress=True)
    )
    predictions = [o for o in outcomes if isinstance(o, Prediction)]
    failures = [o for o in outcomes if not isinstance(o, Prediction)]
    show(options, classifier, predictions, failures)
    if options.sheet is not None and predictions:
        draw_sheet(predictions, options.sheet)
        errors.print(f"Contact sheet: {options.sheet}", highlight=False, soft_wrap=True)
    for failure in failures:
        errors.print(f"[red]failed[/] {failure.error}", highlight=False, soft_wrap=True)
    summary = f"{len(predictions)} of {len(files)} videos predicted, {len(failures)} failed."
    errors.print(summary, highlight=False)
    return 0 if not failures else 1 if predictions else 2


def find_videos(given: Sequence[str]) -> list[str]:
    """The videos behind files, folders and patterns, in order.

    A folder is searched through; one without videos is taken for a video of images. What does not exist is kept, so
    that it is reported as any other file that cannot be read.
    """
    from tubelet.data.disk import clips_below

    found: list[str] = []
    for name in given:
        path = Path(name)
        if path.is_dir():
            found += [str(file) for file in clips_below(path, images=False)] or [name]
        elif not path.exists() and glob.has_magic(name):
            found += sorted(glob.glob(name, recursive=True)) or [name]
        else:
            found.append(name)
    return found


def show(
    options: Predict, classifier: "Classifier", predictions: "list[Prediction]", failures: "list[Failure]"
) -> None:
    """Write what was asked for; a table where nothing else goes to standard output."""
    from tubelet.cli.console import stdout

    if options.json is not None:
        results = [p.to_dict(options.top) for p in predictions]
        problems = [{"video": f.video, "error": str(f.error)} for f in failures]
        text = json.dumps({"model": options.model, "predictions": results, "failed": problems}, indent=2)
        write(options.json, text + "\n")
    if options.csv is not None:
        write(options.csv, as_csv(predictions, failures, options.top))
    if "-" not in (options.json, options.csv) and predictions:
        several = len(classifier.labels.heads) > 1 or any(p.windows for p in predictions)
        table = wide_table(predictions) if several else ranked_table(predictions, options.top)
        stdout().print(table)


def write(target: str, text: str) -> None:
    """To a file, or to standard output for `-`."""
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(text, encoding="utf-8")


def flat(predictions: "Sequence[Prediction]") -> "list[Prediction]":
    """The windows of each prediction, or the prediction itself where it has none."""
    return [window for p in predictions for window in (p.windows or (p,))]


def as_csv(predictions: "Sequence[Prediction]", failures: "Sequence[Failure]", top: int) -> str:
    """A line for each answer: video, times, head, rank, label, probability; a line with the error for a failure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["video", "start_seconds", "end_seconds", "head", "rank", "label", "probability", "error"]
    )
    for p in flat(predictions):
        for head in p.labels.heads:
            for rank, (label, probability) in enumerate(p.top(top, head.name), start=1):
                times = [f"{p.start_seconds:.3f}", "" if p.end_seconds is None else f"{p.end_seconds:.3f}"]
                writer.writerow([p.video, *times, head.name, rank, label, f"{probability:.6f}", ""])
    for failure in failures:
        writer.writerow([failure.video, "", "", "", "", "", "", str(failure.error)])
    return out.getvalue()


def wide_table(predictions: "Sequence[Prediction]") -> "Table":
    """A row for each video or window, a column for each head: its best answer with the probability."""
    from rich.table import Table

    table = Table()
    windows = any(p.windows for p in predictions)
    for column in ("video", *(("seconds",) if windows else ())):
        table.add_column(column, overflow="fold")
    for head in predictions[0].labels.heads:
        table.add_column(head.name)
    for p in flat(predictions):
        best = [p.top(1, head.name)[0] for head in p.labels.heads]
        times = (
            [f"{p.start_seconds:.1f}-{p.end_seconds:.1f}"] if windows and p.end_seconds is not None else []
        )
        table.add_row(
            Path(p.video).name, *times, *(f"{label} {probability:.0%}" for label, probability in best)
        )
    return table


def ranked_table(predictions: "Sequence[Prediction]", top: int) -> "Table":
    """A row for each video: its best answers, best first."""
    from rich.table import Table

    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("answers")
    for p in predictions:
        answers = "\n".join(f"{probability:6.1%}  {label}" for label, probability in p.top(top))
        table.add_row(Path(p.video).name, answers)
    return table


def draw_sheet(predictions: "Sequence[Prediction]", path: Path, most_rows: int = 40, thumbs: int = 6) -> None:
    """The contact sheet of at most `most_rows` videos or windows, with a few of the frames that the model saw."""
    import numpy as np

    from tubelet.evaluation.sheet import SheetRow, contact_sheet
    from tubelet.video.decode import Video

    rows: list[Any] = []
    everything = flat(predictions)
    for p in everything[:most_rows]:
        seen = p.indices[len(p.indices) // 2]
        chosen = seen[np.linspace(0, len(seen) - 1, min(thumbs, len(seen))).round().astype(int)]
        with Video(p.video) as video:
            rows.append(SheetRow(p, video.frames(chosen)))
    more = f" (the first {most_rows} of {len(everything)})" if len(everything) > most_rows else ""
    contact_sheet(rows, path, f"tubelet predict{more}")
