"""Are all heads right at once? The action of EPIC-Kitchens, which is a verb and a noun."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from tubelet.data.source import UNKNOWN
from tubelet.evaluation.bootstrap import Interval, intervals, weighted_mean

AT_ONCE = 2**24
"""Pair scores in memory at a time: 64 MiB of float32."""


@dataclass(frozen=True, kw_only=True)
class JointMetrics:
    """How often the `single` heads are right together. Shares from 0 to 1."""

    heads: tuple[str, ...]
    """Their names."""
    videos: int
    """Number of videos that have a label for each of them."""
    top1: float
    """All are right. Of two heads: the best pair is the right one."""
    top5: float | None
    """Two heads: the right pair is among the best five. None for more heads, or for five pairs or fewer."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % intervals of `top1` and `top5`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def measure_joint(
    names: Sequence[str], logits: Sequence[Tensor], targets: Tensor, units: Tensor
) -> JointMetrics | None:
    """The joint metrics of `single` heads; None of fewer than two.

    Args:
        names: of the heads.
        logits: of each head `(N, classes)`.
        targets: int64 `(N, heads)`; `UNKNOWN` (-1) where nobody said.
        units: int64 `(N,)`, see `intervals`.
    """
    if len(names) < 2:
        return None
    known = (targets != UNKNOWN).all(dim=1)
    parts, targets, units = [part[known] for part in logits], targets[known], units[known]
    columns: dict[str, Tensor] = {}
    if len(names) == 2:
        ahead = pairs_ahead(parts[0], parts[1], targets)
        columns["top1"] = ahead == 0
        if parts[0].shape[1] * parts[1].shape[1] > 5:
            columns["top5"] = ahead < 5
    else:
        best = torch.stack([part.argmax(dim=1) for part in parts], dim=1)
        columns["top1"] = (best == targets).all(dim=1)
    shares = {name: float(column.double().mean()) for name, column in columns.items()}
    table = [column.double() for column in columns.values()]
    return JointMetrics(
        heads=tuple(names),
        videos=len(targets),
        top1=shares["top1"],
        top5=shares.get("top5"),
        intervals=intervals(
            list(columns), lambda weights: torch.stack([weighted_mean(c, weights) for c in table]), units
        ),
    )


def pair_scores(first: Tensor, second: Tensor) -> Tensor:
    """The scores of all pairs of classes, `(N, A * B)`, those of the first class first: logits `(N, A)`, `(N, B)`.

    As the official code scores the action of EPIC-Kitchens: the product of the two probabilities.
    """
    return (first.softmax(-1)[:, :, None] * second.softmax(-1)[:, None, :]).flatten(1)


def pairs_ahead(first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
    """How many pairs score better than the right one, int64 `(N,)`; of equal ones the first is better.

    Args:
        first: logits `(N, A)`.
        second: logits `(N, B)`.
        targets: int64 `(N, 2)`.
    """
    found = [torch.empty(0, dtype=torch.int64)]
    number = targets[:, :1] * second.shape[1] + targets[:, 1:]
    rows = max(AT_ONCE // (first.shape[1] * second.shape[1]), 1)
    for one, other, right in zip(*(t.split(rows) for t in (first, second, number)), strict=True):
        scores = pair_scores(one, other)
        score = scores.gather(1, right)
        before = torch.arange(scores.shape[1]) < right
        found.append(((scores > score) | ((scores == score) & before)).sum(dim=1))
    return torch.cat(found)
