"""`Report`: every number of an evaluation, computed from its results, without the model."""

import csv
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from tubelet.data.source import UNKNOWN
from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.calibration import calibrate
from tubelet.evaluation.joint import JointMetrics, measure_joint
from tubelet.evaluation.metrics import HeadMetrics, confusion, head_intervals, measure_head, select
from tubelet.evaluation.multi_label import MultiMetrics, measure_multi
from tubelet.evaluation.regression import NumberMetrics, measure_number
from tubelet.evaluation.results import Results

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A video that could not be read, and why."""

    video: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `evaluate` found."""

    split: str
    """Of the source."""
    views: str
    """Temporal x spatial views, which were averaged."""
    average: str = "logits"
    """What of them."""
    shuffled: bool = False
    """Whether the frames of every clip came in a random order."""
    videos: int
    """Number of videos in the split, readable or not."""
    heads: tuple[HeadMetrics | MultiMetrics | NumberMetrics, ...]
    """For each head, over the videos that could be read and have a label for it."""
    joint: JointMetrics | None
    """Of the `single` heads together; None where there are fewer than two."""
    unreadable: tuple[Unreadable, ...] = ()
    """They are in no metric."""
    drawn: str = "videos"
    """What the bootstrap drew: `videos`, or `groups` of them, where they have groups."""
    seconds_per_video: float
    """Wall-clock seconds of one process for a video, all its views, decoding included."""
    macs_per_video: int
    """Multiply-adds for a video, all its views."""
    results: Results = field(repr=False)
    """What became of every video."""

    @property
    def top1(self) -> float:
        """Top-1 accuracy, averaged over the `single` heads that have labels; NaN without any."""
        found = [h.top1 for h in self.heads if isinstance(h, HeadMetrics) and h.videos]
        return sum(found) / len(found) if found else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "split": self.split,
            "views": self.views,
            "average": self.average,
            "shuffled": self.shuffled,
            "videos": self.videos,
            "heads": [head.to_dict() for head in self.heads],
            "joint": None if self.joint is None else self.joint.to_dict(),
            "unreadable": [vars(one) for one in self.unreadable],
            "intervals_over": self.drawn,
            "seconds_per_video": self.seconds_per_video,
            "macs_per_video": self.macs_per_video,
        }

    def table(self, per_class: bool = False) -> RenderableType:
        """Tables for the terminal; with `per_class`, a row for each class too."""
        tables = [
            table
            for table in (self._singles(per_class), self._multis(per_class), self._numbers())
            if table.row_count
        ]
        order = ", frames in random order" if self.shuffled else ""
        average = "" if self.average == "logits" else f", {self.average} averaged"
        tables[0].title = f"{self.split}, {self.videos} videos, {self.views} views{average}{order}"
        notes = [f"[ ]: 95 % interval, bootstrap over {self.drawn}."] if self._has_intervals() else []
        giga = f"{self.macs_per_video / 1e9:,.4g}"
        notes.append(f"For each video {giga} GMACs and {self.seconds_per_video:.3g} s of one process.")
        if self.unreadable:
            names = ", ".join(one.video for one in self.unreadable)
            notes.append(f"{len(self.unreadable)} of {self.videos} could not be read: {names}")
        return Group(*tables, *(note.replace("[", "\\[") for note in notes))

    def _has_intervals(self) -> bool:
        return any(head.intervals for head in self.heads)

    def _singles(self, per_class: bool) -> Table:
        table = table_of(
            "head", "videos", "top-1", "top-5", "balanced", "AUC", "most frequent class", "nats", "ECE"
        )
        for head in self.heads:
            if not isinstance(head, HeadMetrics):
                continue
            found = head.intervals
            table.add_row(
                head.name,
                str(head.videos),
                *(share(getattr(head, name), found.get(name)) for name in ("top1", "top5", "balanced")),
                "" if head.auc is None else f"{head.auc:.3f}",
                share(head.frequent),
                f"{head.cross_entropy:.3f}",
                "" if head.calibration is None else f"{head.calibration.ece:.3f}",
            )
            if head.selective is not None:
                chosen = head.selective
                name = f"  answered: at least {chosen.threshold:.3g}"
                table.add_row(name, share(chosen.answered), share(chosen.top1))
            if per_class:
                for name, one in head.per_class.items():
                    table.add_row(f"  {name}", str(head.count_per_class[name]), share(one))
        if self.joint is not None:
            shares = (share(getattr(self.joint, n), self.joint.intervals.get(n)) for n in ("top1", "top5"))
            table.add_row("+".join(self.joint.heads), str(self.joint.videos), *shares)
        return table

    def _multis(self, per_class: bool) -> Table:
        table = table_of("head", "videos", "mean average precision")
        for head in self.heads:
            if not isinstance(head, MultiMetrics):
                continue
            found = head.intervals.get("mean_average_precision")
            table.add_row(head.name, str(head.videos), share(head.mean_average_precision, found))
            if per_class:
                for name, one in head.per_class.items():
                    table.add_row(f"  {name}", str(head.count_per_class[name]), share(one))
        return table

    def _numbers(self) -> Table:
        table = table_of("head", "videos", "mean absolute error", "root of mean squared error", "R2")
        for head in self.heads:
            if not isinstance(head, NumberMetrics):
                continue
            for name, one in head.outputs.items():
                label = f"{head.name}: {name}" if len(head.outputs) > 1 else head.name
                r2 = "" if one.r2 is None else f"{one.r2:.3f}"
                table.add_row(label, str(head.videos), f"{one.mae:.4g}", f"{one.rmse:.4g}", r2)
        return table

    def write(self, folder: Path) -> None:
        """Write the numbers as `metrics.json`, and for each `single` head its confusion matrix as CSV.

        A matrix has a row for each right class and a column for each answer. Both are written anew if they are there.
        """
        text = json.dumps(finite(self.to_dict()), indent=2, ensure_ascii=False) + "\n"
        (folder / METRICS).write_text(text, encoding="utf-8")
        for head in self.heads:
            if isinstance(head, HeadMetrics) and head.confusion is not None:
                safe = re.sub(r"[^\w-]+", "_", head.name)
                with (folder / f"confusion-{safe}.csv").open("w", newline="", encoding="utf-8") as opened:
                    writer = csv.writer(opened, lineterminator="\n")
                    writer.writerow(["right class", *head.per_class])
                    writer.writerows(
                        [name, *row] for name, row in zip(head.per_class, head.confusion, strict=True)
                    )


def report(results: Results) -> Report:
    """Every number, from the results of an evaluation."""
    manifest, rows = results.manifest, results.rows
    return Report(
        split=manifest.split,
        views=manifest.views,
        average=manifest.average,
        shuffled=manifest.shuffle_frames,
        videos=len(rows),
        heads=measure_heads(results),
        joint=joint_of(results),
        unreadable=tuple(Unreadable(video=row.video, error=row.error or "") for row in results.failed),
        drawn="groups" if results.grouped else "videos",
        seconds_per_video=sum(row.seconds for row in rows) / len(rows),
        macs_per_video=manifest.macs_per_view * max((row.views for row in results.answered), default=0),
        results=results,
    )


def measure_heads(results: Results) -> tuple[HeadMetrics | MultiMetrics | NumberMetrics, ...]:
    """The metrics of each head, by its kind."""
    labels, units, classes = results.labels, results.units(), results.classes()
    logits, targets = labels.split(results.logits()), labels.split(results.targets())
    found: list[HeadMetrics | MultiMetrics | NumberMetrics] = []
    for number, head in enumerate(labels.heads):
        said, right = logits[head.name], targets[head.name]
        known = ~right.isnan().any(dim=1)
        said, right, unit, target = said[known], right[known], units[known], classes[known, number]
        if head.kind == "multi":
            found.append(measure_multi(head.name, head.classes, said, right, unit))
        elif head.kind == "number":
            found.append(measure_number(head.name, head.classes, said, right, unit))
        else:
            one = measure_head(head.name, head.classes, said, target)
            if len(target):
                one = replace(
                    one,
                    confusion=confusion(said, target),
                    calibration=calibrate(said, target),
                    selective=None if head.threshold is None else select(said, target, head.threshold),
                    intervals=head_intervals(said, target, unit),
                )
            found.append(one)
    return tuple(found)


def joint_of(results: Results) -> JointMetrics | None:
    """The metrics of the `single` heads together."""
    heads = results.labels.heads
    singles = [number for number, head in enumerate(heads) if head.kind == "single"]
    names = [heads[number].name for number in singles]
    parts, classes = results.labels.split(results.logits()), results.classes()[:, singles]
    if not (classes != UNKNOWN).all(dim=1).any():
        return None
    return measure_joint(names, [parts[name] for name in names], classes, results.units())


def table_of(*columns: str) -> Table:
    """A table whose first column is text, and the others numbers."""
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=number == 0)
    return table


def share(value: float | None, interval: Interval | None = None) -> str:
    """A share in per cent, with its interval; empty where there is none."""
    if value is None:
        return ""
    if interval is None:
        return f"{value:.1%}"
    return f"{value:.1%} \\[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def finite(value: Any) -> Any:
    """Plain values without NaN, which JSON does not know: None in its place."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]  # pyright: ignore[reportUnknownArgumentType]
    return None if isinstance(value, float) and value != value else value
