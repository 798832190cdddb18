"""`evaluate`: a classifier on a split of a source, every video counted."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from rich.table import Table as RichTable
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.data.dataset import Batch, ClipDataset, batches
from tubelet.data.source import UNKNOWN, Sample, Source
from tubelet.errors import DataError
from tubelet.evaluation.metrics import HeadMetrics, measure
from tubelet.labels import Labels


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
    """Temporal x spatial views, whose logits were averaged."""
    shuffled: bool = False
    """Whether the frames of every clip came in a random order."""
    videos: int
    """Number of videos in the split, readable or not."""
    heads: tuple[HeadMetrics, ...]
    """For each head, over the videos that could be read."""
    joint: float | None
    """Share of the videos with all labels whose heads are all right; None for a single head."""
    unreadable: tuple[Unreadable, ...] = ()
    """They are in no metric."""

    @property
    def top1(self) -> float:
        """Top-1 accuracy, averaged over the heads."""
        return sum(head.top1 for head in self.heads) / len(self.heads)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "split": self.split,
            "views": self.views,
            "shuffled": self.shuffled,
            "videos": self.videos,
            "heads": [head.to_dict() for head in self.heads],
            "joint": self.joint,
            "unreadable": [vars(one) for one in self.unreadable],
        }

    def table(self, per_class: bool = False) -> RichTable:
        """A table for the terminal; with `per_class`, a row for each class too."""
        order = ", frames in random order" if self.shuffled else ""
        table = RichTable(title=f"{self.split}, {self.videos} videos, {self.views} views{order}")
        for column in ("head", "videos", "top-1", "top-5", "balanced", "most frequent class", "nats"):
            table.add_column(column, justify="left" if column == "head" else "right")
        for head in self.heads:
            shares = (head.top1, head.top5, head.balanced, head.frequent)
            cells = ["" if share is None else f"{share:.1%}" for share in shares]
            table.add_row(head.name, str(head.videos), *cells, f"{head.cross_entropy:.3f}")
            if per_class:
                for name, share in head.per_class.items():
                    text = "" if share is None else f"{share:.1%}"
                    table.add_row(f"  {name}", str(head.count_per_class[name]), text)
        if self.joint is not None:
            table.add_row("all heads", "", f"{self.joint:.1%}")
        if self.unreadable:
            names = ", ".join(one.video for one in self.unreadable)
            table.caption = f"{len(self.unreadable)} of {self.videos} could not be read: {names}"
        return table


def evaluate(
    classifier: Classifier,
    source: Source,
    split: str = "test",
    views: str | None = None,
    *,
    batch_size: int = 8,
    workers: int = 0,
    predictions: Path | None = None,
    shuffle_frames: bool = False,
    progress: bool = True,
) -> Report:
    """Measure a classifier on a split.

    Args:
        classifier: what is measured. Its class names must be the source's, in any order.
        source: the videos.
        split: which of them.
        views: temporal x spatial views such as `"4x3"`, whose logits are averaged. None: the view's own.
        batch_size: videos at a time.
        workers: processes that decode; 0: this one.
        predictions: a new file for one JSON line for each video, unreadable ones included.
        shuffle_frames: a control: show the frames of every clip in a random order (always the same one). What
            a model loses by it, it had from the order of the frames.
        progress: show a progress bar.

    Raises:
        DataError: if the classes are not the classifier's, no video can be read, or `predictions` exists.
    """
    if predictions is not None and predictions.exists():
        raise DataError(f"{predictions} exists and is not overwritten: give another file.")
    samples = source.samples(split)
    remap = class_map(source.labels, classifier.labels)
    used = views or classifier.view.views
    dataset = ClipDataset(samples, classifier.view, views=used)
    loader, _ = batches(dataset, batch_size, shuffle=False, workers=workers)
    shown = track(loader, f"Evaluating {split}", disable=not progress)
    found = run(classifier, shown, torch.Generator().manual_seed(0) if shuffle_frames else None)
    if not found.indices:
        raise DataError(f"None of the {len(samples)} videos of {split} can be read: {found.errors[0][1]}")
    targets = translate(torch.tensor([samples[i].labels for i in found.indices]), remap)
    if predictions is not None:
        write_predictions(predictions, samples, found, targets, classifier.labels)
    known = (targets != UNKNOWN).all(dim=1)
    best = torch.stack([part.argmax(-1) for part in classifier.labels.split(found.logits).values()], dim=1)
    joint = float((best == targets).all(dim=1)[known].float().mean()) if known.any() else None
    return Report(
        split=split,
        views=used,
        shuffled=shuffle_frames,
        videos=len(samples),
        heads=measure(found.logits, targets, classifier.labels),
        joint=None if len(classifier.labels.heads) == 1 else joint,
        unreadable=tuple(Unreadable(video=samples[i].name, error=why) for i, why in found.errors),
    )


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Logits `(N, sum(classes))` of the samples that could be read, and why the others could not."""

    logits: Tensor
    indices: tuple[int, ...]
    errors: tuple[tuple[int, str], ...]


def run(classifier: Classifier, loaded: Iterable[Batch], shuffle: torch.Generator | None = None) -> Outputs:
    """Put every batch through the model, its frames in a drawn order if asked; the views of a video are averaged."""
    logits: list[Tensor] = []
    indices: list[int] = []
    errors: list[tuple[int, str]] = []
    for batch in loaded:
        errors.extend(batch.errors)
        if batch.indices:
            pixels = batch.pixels
            if shuffle is not None:
                order = torch.rand(pixels.shape[:2], generator=shuffle).argsort(dim=1)
                pixels = torch.stack([clip[frames] for clip, frames in zip(pixels, order, strict=True)])
            shown = classifier.view.normalise(pixels)
            logits.append(
                classifier.run(shown, len(batch.indices)).unflatten(0, (-1, batch.views)).mean(dim=1)
            )
            indices.extend(batch.indices)
    empty = torch.empty(0, sum(classifier.labels.classes))
    return Outputs(logits=torch.cat([empty, *logits]), indices=tuple(indices), errors=tuple(errors))


def class_map(theirs: Labels, ours: Labels) -> list[list[int]]:
    """For each head of a classifier: the classifier's number of each class of the source.

    Raises:
        DataError: if the heads differ, or the source has classes that the classifier does not know.
    """
    names = [[head.name for head in labels.heads] for labels in (theirs, ours)]
    single = len(names[0]) == len(names[1]) == 1  # the only head may have another name
    if names[0] != names[1] and not single:
        raise DataError(
            f"The data have the heads {', '.join(names[0])}, the classifier {', '.join(names[1])}."
        )
    maps: list[list[int]] = []
    for their, our in zip(theirs.heads, ours.heads, strict=True):
        unknown = [name for name in their.classes if name not in our.classes]
        if unknown:
            raise DataError(f"The classifier's head {our.name!r} has no class {', '.join(unknown[:10])}.")
        maps.append([our.classes.index(name) for name in their.classes])
    return maps


def translate(targets: Tensor, maps: list[list[int]]) -> Tensor:
    """Targets `(N, heads)` in the source's numbers to the classifier's; `UNKNOWN` stays."""
    columns = [
        torch.where(column == UNKNOWN, UNKNOWN, torch.tensor(numbers)[column.clamp(min=0)])
        for column, numbers in zip(targets.unbind(1), maps, strict=True)
    ]
    return torch.stack(columns, dim=1)


def write_predictions(
    file: Path, samples: Sequence[Sample], found: Outputs, targets: Tensor, labels: Labels
) -> None:
    """One JSON line for each video: its heads' label, answer and probabilities, or the error."""
    probabilities = labels.probabilities(found.logits)
    lines: dict[int, dict[str, Any]] = {
        number: {"video": samples[number].name, "error": why} for number, why in found.errors
    }
    for row, number in enumerate(found.indices):
        heads: dict[str, Any] = {}
        for place, head in enumerate(labels.heads):
            chances, target = probabilities[head.name][row], int(targets[row, place])
            heads[head.name] = {
                "label": None if target == UNKNOWN else head.classes[target],
                "answer": head.classes[int(chances.argmax())],
                "probabilities": [round(p, 6) for p in chances.tolist()],
            }
        lines[number] = {"video": samples[number].name, "heads": heads}
    with file.open("x", encoding="utf-8") as opened:
        for number in sorted(lines):
            opened.write(json.dumps(lines[number], ensure_ascii=False) + "\n")
