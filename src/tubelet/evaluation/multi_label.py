"""Metrics of a `multi` head: mean average precision."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from tubelet.evaluation.bootstrap import RESAMPLES, Interval, intervals

MOST_WORK = 2e9
"""Numbers that the bootstrap of a head may handle: of large tables fewer resamples are drawn, 100 at least."""


@dataclass(frozen=True, kw_only=True)
class MultiMetrics:
    """How well a `multi` head ranks the videos of each class."""

    name: str
    """The head."""
    videos: int
    """Number of videos that have labels for it."""
    mean_average_precision: float
    """Mean over the classes that occur. Chance gives the mean share of videos that have a class."""
    per_class: dict[str, float | None]
    """Average precision of each class; None for a class that does not occur."""
    count_per_class: dict[str, int]
    """Number of videos that have each class."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % interval of `mean_average_precision`."""
    kind: Literal["multi"] = "multi"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def measure_multi(
    name: str, classes: Sequence[str], logits: Tensor, target: Tensor, units: Tensor
) -> MultiMetrics:
    """The metrics of one head: logits and targets (0 or 1) `(N, classes)`, units `(N,)` (see `intervals`)."""
    count = target.sum(dim=0).int().tolist()
    scores = logits.double().sigmoid()  # in double precision those of sure models differ still
    columns = zip(scores.unbind(1), target.int().unbind(1), count, strict=True)
    per_class = [float(binary_average_precision(score, held)) if n else None for score, held, n in columns]
    present = [p for p in per_class if p is not None]
    resamples = int(min(RESAMPLES, max(MOST_WORK / max(target.numel(), 1), 100)))
    statistics = weighted_precision(logits, target)
    return MultiMetrics(
        name=name,
        videos=len(target),
        mean_average_precision=sum(present) / len(present) if present else float("nan"),
        per_class=dict(zip(classes, per_class, strict=True)),
        count_per_class=dict(zip(classes, count, strict=True)),
        intervals=intervals(["mean_average_precision"], statistics, units, resamples),
    )


def weighted_precision(logits: Tensor, target: Tensor) -> Callable[[Tensor], Tensor]:
    """Mean average precision `(1,)` as a function of how often each video was drawn, `(N,)`.

    The copies of a video have one score and are passed in one step, as torchmetrics does.
    """
    order = logits.argsort(dim=0, descending=True)
    held = target.double().gather(0, order)

    def drawn_precision(weights: Tensor) -> Tensor:
        drawn = weights[order]
        hits = drawn * held
        precision = hits.cumsum(0) / drawn.cumsum(0).clamp(min=1)
        average = (precision * hits).sum(0) / hits.sum(0)  # NaN for a class that was not drawn
        return average.nanmean()[None]

    return drawn_precision
