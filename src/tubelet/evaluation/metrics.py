"""Accuracies of a head, from logits kept until the end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from tubelet.data.source import UNKNOWN
from tubelet.labels import Labels


@dataclass(frozen=True, kw_only=True)
class HeadMetrics:
    """How often one head is right. Shares from 0 to 1."""

    name: str
    """The head."""
    videos: int
    """Number of videos that have a label for it."""
    top1: float
    """The best answer is right."""
    top5: float | None
    """The right answer is among the best five; None for a head of five classes or fewer."""
    balanced: float
    """Mean over the classes that occur of the share of their videos that is right."""
    cross_entropy: float
    """Mean negative log probability of the right answer, in nats."""
    frequent: float
    """What always answering the most frequent class would give."""
    per_class: dict[str, float | None]
    """Share of each class's videos that is right; None for a class that does not occur."""
    count_per_class: dict[str, int]
    """Number of videos of each class."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def measure(logits: Tensor, targets: Tensor, labels: Labels) -> tuple[HeadMetrics, ...]:
    """The metrics of every head.

    Args:
        logits: `(N, sum(classes))`, one row for each video.
        targets: int64 `(N, heads)`; `UNKNOWN` (-1) where a video has no label.
        labels: the heads.
    """
    found: list[HeadMetrics] = []
    for number, (name, part) in enumerate(labels.split(logits.float()).items()):
        target = targets[:, number]
        known = target != UNKNOWN
        found.append(measure_head(name, labels.heads[number].classes, part[known], target[known]))
    return tuple(found)


def measure_head(name: str, classes: Sequence[str], logits: Tensor, target: Tensor) -> HeadMetrics:
    """The metrics of one head: logits `(N, classes)`, targets `(N,)`."""
    count = torch.bincount(target, minlength=len(classes))
    if not len(target):
        nothing = float("nan")
        return HeadMetrics(
            name=name, videos=0, top1=nothing, top5=None, balanced=nothing, cross_entropy=nothing, frequent=nothing,
            per_class=dict.fromkeys(classes), count_per_class=dict.fromkeys(classes, 0),
        )  # fmt: skip

    def accuracy(average: str, top_k: int = 1) -> Tensor:
        if len(classes) == 1:
            return torch.ones(1 if average == "none" else ())
        return multiclass_accuracy(logits, target, len(classes), top_k=top_k, average=average)  # pyright: ignore[reportArgumentType]

    shares = accuracy("none").tolist()
    per_class = [share if n else None for share, n in zip(shares, count.tolist(), strict=True)]
    present = [share for share in per_class if share is not None]
    return HeadMetrics(
        name=name,
        videos=len(target),
        top1=float(accuracy("micro")),
        top5=float(accuracy("micro", 5)) if len(classes) > 5 else None,
        balanced=sum(present) / len(present),
        cross_entropy=float(torch.nn.functional.cross_entropy(logits, target)),
        frequent=int(count.max()) / len(target),
        per_class=dict(zip(classes, per_class, strict=True)),
        count_per_class=dict(zip(classes, count.tolist(), strict=True)),
    )
