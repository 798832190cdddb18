"""What became of every video of an evaluation: the rows of its results, as records and as JSON."""

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from tubelet.data.source import UNKNOWN, Sample
from tubelet.errors import DataError
from tubelet.evaluation.manifest import Manifest
from tubelet.labels import Head, Label, Labels

VIDEOS = "videos.jsonl"
"""The rows of a results folder, in the order of the samples."""
TOP = 5
"""Answers of a head in a row."""


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """What became of one video."""

    index: int
    """Its number among the samples of the split."""
    video: str
    """Its name: the path, and the times where it is a part of a video."""
    path: str
    """The file or folder."""
    start_seconds: float | None = None
    end_seconds: float | None = None
    """The part of the video; None: from its beginning, to its end."""
    id: str | None = None
    """What the dataset calls it."""
    group: str | None = None
    """See `Sample`."""
    image_rate: float | None = None
    """Frames per second of a folder of images; None: as `Video` has it."""
    labels: tuple[Label, ...]
    """For each head of the classifier, in its numbers."""
    logits: "array[float] | None"
    """Averaged over the views, of all heads, float32 (`array("f")`: small, and equal or not as a whole); None where
    there is an error."""
    views: int
    """Number of views that were averaged."""
    seconds: float
    """Wall-clock time that the video took the process that computed it: decoding as far as it had to wait for it."""
    error: str | None = None
    """Why it could not be read or answered."""

    @classmethod
    def of(cls, index: int, sample: Sample, **found: Any) -> Self:
        """The row of a sample: its name and place, and what was found."""
        return cls(
            index=index,
            video=sample.name,
            path=str(sample.path),
            start_seconds=sample.start_seconds,
            end_seconds=sample.end_seconds,
            id=sample.id,
            group=sample.group,
            image_rate=sample.image_rate,
            **found,
        )

    def to_dict(self, labels: Labels) -> dict[str, Any]:
        """Plain values, ready for JSON, with the names of the classes.

        `heads` has for each head its `label` (a class; a list of the classes that hold; numbers; None where nobody
        said), the `top` answers with their probabilities, and all `logits`.
        """
        plain = {name: value for name, value in vars(self).items() if name not in ("labels", "logits")}
        parts = dict[str, Tensor]() if self.logits is None else labels.split(torch.tensor(self.logits))
        heads = {
            head.name: {
                "label": label_name(head, label),
                "top": top(head, parts.get(head.name)),
                "logits": None if self.logits is None else short(parts[head.name]),
            }
            for head, label in zip(labels.heads, self.labels, strict=True)
        }
        return {**plain, "heads": heads}

    @classmethod
    def from_dict(cls, values: dict[str, Any], labels: Labels) -> Self:
        """The inverse of `to_dict`."""
        heads = [values["heads"][head.name] for head in labels.heads]
        absent = heads[0]["logits"] is None
        logits = None if absent else array("f", [x for head in heads for x in head["logits"]])
        given = {name: value for name, value in values.items() if name != "heads"}
        said = tuple(label_of(head, found["label"]) for head, found in zip(labels.heads, heads, strict=True))
        return cls(**given, labels=said, logits=logits)


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole evaluation: what was done, and what became of every video. All metrics are computed from it."""

    manifest: Manifest
    """What made it."""
    rows: tuple[VideoResult, ...]
    """One for each video of the split, in its order."""
    folder: Path | None = None
    """Where they were read from."""

    @property
    def labels(self) -> Labels:
        """The heads of the classifier."""
        return self.manifest.labels

    @property
    def answered(self) -> list[VideoResult]:
        """The videos that could be read and answered."""
        return [row for row in self.rows if row.logits is not None]

    @property
    def failed(self) -> list[VideoResult]:
        """The videos that could not: they are in no metric."""
        return [row for row in self.rows if row.logits is None]

    def logits(self) -> Tensor:
        """Those of the answered videos, float32 `(N, sum(classes))`."""
        found = [torch.tensor(row.logits) for row in self.answered if row.logits is not None]
        return torch.stack(found) if found else torch.empty(0, sum(self.labels.classes))

    def targets(self) -> Tensor:
        """The labels of the answered videos, float32 `(N, sum(classes))`, as `Labels.targets` has them."""
        return self.labels.targets([row.labels for row in self.answered])

    def classes(self) -> Tensor:
        """The classes of the answered videos, int64 `(N, heads)`; `UNKNOWN` also for heads that are not `single`."""
        rows = [[x if isinstance(x, int) else UNKNOWN for x in row.labels] for row in self.answered]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, len(self.labels.heads))

    def units(self) -> Tensor:
        """What the bootstrap draws as one, int64 `(N,)`: the groups of the answered videos; else the videos."""
        if not self.grouped:
            return torch.arange(len(self.answered))
        numbers: dict[str, int] = {}
        names = [f"group {row.group}" if row.group is not None else row.video for row in self.answered]
        return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])

    @property
    def grouped(self) -> bool:
        """Whether the videos are in groups."""
        return any(row.group is not None for row in self.rows)


def read_results(folder: str | Path) -> Results:
    """The results that `evaluate` wrote into a folder: all that the metrics need, without the model.

    Raises:
        DataError: if the folder holds none, or those of an evaluation that was not finished.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    if not (folder / VIDEOS).is_file():
        raise DataError(
            f"The evaluation in {folder} is not finished; the same command goes on: {manifest.command}"
        )
    rows = read_rows(folder / VIDEOS, manifest.labels)
    if [row.index for row in rows] != list(range(manifest.videos)):
        raise DataError(
            f"{folder / VIDEOS} is damaged: it has not one row for each of {manifest.videos} videos."
        )
    return Results(manifest=manifest, rows=tuple(rows), folder=folder)


def read_rows(file: Path, labels: Labels, torn: bool = False) -> list[VideoResult]:
    """The rows of a file.

    Args:
        file: a line of JSON for each.
        labels: the heads of the classifier.
        torn: the last line may be half written, by a process that was killed; it is left out.

    Raises:
        DataError: for anything else that is no row; names the line.
    """
    rows: list[VideoResult] = []
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line or (torn and number == len(lines)):  # a whole line ends with a line break
            continue
        try:
            rows.append(VideoResult.from_dict(json.loads(line), labels))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}, line {number}, is no row of results: {error!r}") from error
    return rows


def row_line(row: VideoResult, labels: Labels) -> str:
    """A row as a line of JSON."""
    return json.dumps(row.to_dict(labels), ensure_ascii=False, allow_nan=False) + "\n"


def label_name(head: Head, label: Label) -> Any:
    """What a head should say, in names."""
    if isinstance(label, int):
        return None if label == UNKNOWN else head.classes[label]
    return list(label) if head.kind == "number" else [head.classes[int(number)] for number in label]


def label_of(head: Head, name: Any) -> Label:
    """The inverse of `label_name`.

    Raises:
        ValueError: if the head has no such class.
    """
    if name is None:
        return UNKNOWN
    if isinstance(name, str):
        return head.classes.index(name)
    listed = cast("list[Any]", name)
    return tuple(float(x) if head.kind == "number" else head.classes.index(x) for x in listed)


def top(head: Head, logits: Tensor | None) -> list[dict[str, Any]]:
    """The best classes of a head, best first; of a `number` head nothing."""
    if logits is None or head.kind == "number":
        return []
    best = head.probabilities(logits).topk(min(TOP, len(head.classes)))
    pairs = zip(best.indices.tolist(), short(best.values), strict=True)
    return [{"label": head.classes[i], "probability": p} for i, p in pairs]


def short(numbers: Tensor) -> list[float]:
    """Float32 numbers in as few digits as tell them apart: read back, they are the same to the bit."""
    return [float(str(x)) for x in numbers.numpy().astype(np.float32)]


def finite(numbers: Sequence[float]) -> bool:
    """Whether all are numbers."""
    return all(math.isfinite(x) for x in numbers)
