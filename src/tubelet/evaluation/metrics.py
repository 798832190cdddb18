"""Accuracies of a head, from logits kept until the end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, multiclass_accuracy

from tubelet.data.source import UNKNOWN
from tubelet.evaluation.bootstrap import Interval, intervals, weighted_mean
from tubelet.evaluation.calibration import Calibration
from tubelet.labels import Labels


@dataclass(frozen=True, kw_only=True)
class Selective:
    """A head that answers "unknown" where its best class is less probable than a threshold."""

    threshold: float
    """The probability that the best class must reach."""
    answered: float
    """Share of the videos that get another answer than "unknown"."""
    top1: float | None
    """Share of those that is right; None if there are none."""


@dataclass(frozen=True, kw_only=True)
class HeadMetrics:
    """How often one `single` head is right. Shares from 0 to 1."""

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
    auc: float | None = None
    """Area under the ROC curve: how often a video of the second class has a higher probability of it than one of the
    first; of a head of two classes that both occur."""
    cross_entropy: float
    """Mean negative log probability of the right answer, in nats."""
    frequent: float
    """What always answering the most frequent class would give."""
    per_class: dict[str, float | None]
    """Share of each class's videos that is right; None for a class that does not occur."""
    count_per_class: dict[str, int]
    """Number of videos of each class."""
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Number of videos by right class (row) and answer (column); like what follows only of a whole evaluation."""
    calibration: Calibration | None = None
    """Whether the probabilities are what they say; None also without videos."""
    selective: Selective | None = None
    """What the head's threshold does, where it has one."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % intervals of `top1`, `top5` and `balanced`."""
    kind: Literal["single"] = "single"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; without the confusion matrix, which is large."""
        return {name: value for name, value in asdict(self).items() if name != "confusion"}


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
        auc=float(binary_auroc(logits[:, 1] - logits[:, 0], target)) if two_sided(count) else None,
        cross_entropy=float(torch.nn.functional.cross_entropy(logits, target)),
        frequent=int(count.max()) / len(target),
        per_class=dict(zip(classes, per_class, strict=True)),
        count_per_class=dict(zip(classes, count.tolist(), strict=True)),
    )


def two_sided(count: Tensor) -> bool:
    """Whether a head has two classes, and videos of both."""
    return len(count) == 2 and bool(count.all())


def head_intervals(logits: Tensor, target: Tensor, units: Tensor) -> dict[str, Interval]:
    """95 % intervals of one head's `top1`, `top5` and `balanced`; units `(N,)` as `intervals` takes them."""
    count = logits.shape[1]
    ahead = (logits > logits.gather(1, target[:, None])).sum(dim=1) if len(target) else target
    right = {"top1": (logits.argmax(dim=1) == target).double()}
    if count > 5:
        right["top5"] = (ahead < 5).double()

    def statistics(weights: Tensor) -> Tensor:
        hits = target.bincount(weights * right["top1"], minlength=count)
        balanced = (hits / target.bincount(weights, minlength=count)).nanmean()
        return torch.stack([*(weighted_mean(column, weights) for column in right.values()), balanced])

    return intervals([*right, "balanced"], statistics, units)


def confusion(logits: Tensor, target: Tensor) -> tuple[tuple[int, ...], ...]:
    """Number of videos of one head by right class (row) and answer (column)."""
    count = logits.shape[1]
    pairs = target * count + logits.argmax(dim=1)
    return tuple(map(tuple, pairs.bincount(minlength=count * count).view(count, count).tolist()))


def select(logits: Tensor, target: Tensor, threshold: float) -> Selective:
    """What a threshold does to one head."""
    confidence, answer = logits.softmax(dim=-1).max(dim=1)
    answered = confidence >= threshold
    right = (answer == target)[answered]
    return Selective(
        threshold=threshold,
        answered=float(answered.double().mean()),
        top1=float(right.double().mean()) if len(right) else None,
    )
