"""How far a number measured on these videos may be from what others would give: the bootstrap.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13: as many videos as there are are drawn from
them with replacement, many times; the interval is from the 2.5th to the 97.5th percentile of what was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RESAMPLES = 1000
"""How often videos are drawn anew."""
FEWEST = 10
"""Fewer videos, or groups of them, than this say nothing of others: no interval."""


@dataclass(frozen=True)
class Interval:
    """Where a number lies with 95 % confidence."""

    low: float
    high: float


def intervals(
    names: Sequence[str],
    statistics: Callable[[Tensor], Tensor],
    units: Tensor,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """95 % intervals of some numbers, by the percentiles of the bootstrap.

    Args:
        names: of the M numbers.
        statistics: float64 weights `(N,)`, how often each video was drawn, to the M numbers; NaN for one that these
            videos do not have.
        units: int64 `(N,)`: what is drawn as one, such as the number of a video's group. Videos of one group are
            alike, so that drawing them one by one would promise too much.
        resamples: how often to draw.
        seed: of the draws.

    Returns:
        By name. Nothing where there are fewer than `FEWEST` units.
    """
    _, place = units.unique(return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    if count < FEWEST:
        return {}
    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor] = []
    for _ in range(resamples):
        chosen = torch.randint(count, (count,), generator=generator)
        drawn.append(statistics(chosen.bincount(minlength=count)[place].double()))
    low, high = torch.stack(drawn).nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
    return {
        name: Interval(a, b) for name, a, b in zip(names, low.tolist(), high.tolist(), strict=True) if a == a
    }


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of values `(N,)` of videos that were drawn so often."""
    return (values * weights).sum() / weights.sum()
