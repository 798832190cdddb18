"""Metrics of a `number` head: how far its numbers are from the right ones."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error, r2_score

from tubelet.evaluation.bootstrap import Interval, intervals, weighted_mean


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far one output is off."""

    mae: float
    """Mean absolute error."""
    rmse: float
    """Root of the mean squared error."""
    r2: float | None
    """1 - squared error / variance: 1 is exact, 0 is no better than always saying the mean. None of fewer than two
    videos, or where all have the same number."""


@dataclass(frozen=True, kw_only=True)
class NumberMetrics:
    """How far the outputs of a `number` head are off."""

    name: str
    """The head."""
    videos: int
    """Number of videos that have numbers for it."""
    mae: float
    """Mean absolute error, over the outputs too."""
    outputs: dict[str, Errors]
    """For each output."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % interval of `mae`."""
    kind: Literal["number"] = "number"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def measure_number(
    name: str, outputs: Sequence[str], said: Tensor, target: Tensor, units: Tensor
) -> NumberMetrics:
    """The metrics of one head: numbers `(N, outputs)`, said and right, units `(N,)` (see `intervals`)."""
    nothing = float("nan")
    if not len(target):
        none = Errors(mae=nothing, rmse=nothing, r2=None)
        return NumberMetrics(name=name, videos=0, mae=nothing, outputs=dict.fromkeys(outputs, none))
    columns = [errors(a.double(), b.double()) for a, b in zip(said.unbind(1), target.unbind(1), strict=True)]
    off = (said.double() - target.double()).abs().mean(dim=1)
    return NumberMetrics(
        name=name,
        videos=len(target),
        mae=float(off.mean()),
        outputs=dict(zip(outputs, columns, strict=True)),
        intervals=intervals(["mae"], lambda weights: weighted_mean(off, weights)[None], units),
    )


def errors(said: Tensor, target: Tensor) -> Errors:
    """Of one output, on at least one video: numbers `(N,)`."""
    varies = len(target) > 1 and not torch.all(target == target[0])
    return Errors(
        mae=float(mean_absolute_error(said, target)),
        rmse=float(mean_squared_error(said, target, squared=False)),
        r2=float(r2_score(said, target)) if varies else None,
    )
