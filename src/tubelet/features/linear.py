"""Linear probes: logistic regression on frozen features, to its optimum.

N vectors, D their width, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.labels import Kind

GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Strengths of the penalty that are tried, from the strongest."""
MOST_STEPS = 1000
FLAT = 1e-6
"""The largest entry of a gradient at what counts as the optimum."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The mean and deviation of each of the D numbers of the vectors that a probe learns from."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Self:
        """Of vectors `(..., D)`; a number that never changes has the deviation 1."""
        flat = vectors.flatten(0, -2)
        deviation, mean = torch.std_mean(flat, dim=0, correction=0)
        return cls(mean=mean, deviation=torch.where(deviation > 1e-6, deviation, 1.0))

    def apply(self, vectors: Tensor) -> Tensor:
        """Vectors of mean 0 and deviation 1."""
        return (vectors - self.mean) / self.deviation


@dataclass(frozen=True, kw_only=True)
class LinearFit:
    """A logistic regression."""

    weight: Tensor
    """float64 `(D, C)`."""
    bias: Tensor
    """float64 `(C,)`."""
    penalty: float
    slope: float
    """The largest entry of the gradient where the search ended: at the optimum 0."""

    def logits(self, vectors: Tensor) -> Tensor:
        """Of vectors `(N, D)`: `(N, C)`."""
        return vectors.double() @ self.weight + self.bias


def mean_loss(logits: Tensor, targets: Tensor, kind: Kind) -> Tensor:
    """In nats: of a `single` head the cross-entropy, of a `multi` head the sum of its classes' sigmoid ones."""
    if kind == "multi":
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()
    return F.cross_entropy(logits, targets)


def fit_linear(
    vectors: Tensor, targets: Tensor, kind: Kind, penalty: float, start: LinearFit | None = None
) -> LinearFit:
    """The weights that make `mean_loss + penalty / 2 * sum(weight ** 2)` least.

    There is one optimum, which L-BFGS finds in double precision; it does not depend on a seed.

    Args:
        vectors: `(N, D)`, best of deviation 1 (`Scale`), so that the penalty means the same for all.
        targets: 0 or 1, `(N, C)`.
        kind: of the head.
        penalty: above 0; the biases are free of it.
        start: where to begin: the optimum of another penalty. None: at 0.
    """
    vectors, targets = vectors.double(), targets.double()
    if start is None:
        weight, bias = (
            vectors.new_zeros(vectors.shape[1], targets.shape[1]),
            vectors.new_zeros(targets.shape[1]),
        )
    else:
        weight, bias = start.weight.clone(), start.bias.clone()
    variables = [weight.requires_grad_(), bias.requires_grad_()]
    search = torch.optim.LBFGS(
        variables,
        max_iter=MOST_STEPS,
        history_size=20,
        tolerance_grad=FLAT,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        value = mean_loss(vectors @ weight + bias, targets, kind) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)  # pyright: ignore[reportArgumentType]  # asks for a float, and takes the tensor
        loss()
    slope = max(float(v.grad.abs().max()) for v in variables if v.grad is not None)
    return LinearFit(weight=weight.detach(), bias=bias.detach(), penalty=penalty, slope=slope)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The penalty that was chosen, and by what."""

    fit: LinearFit
    losses: dict[float, float]
    """On the vectors that chose, by penalty: mean loss in nats."""


def choose_penalty(
    vectors: Tensor,
    targets: Tensor,
    choosing: tuple[Tensor, Tensor],
    kind: Kind,
    grid: Sequence[float] = GRID,
) -> Chosen:
    """Fit with each penalty, and keep that of the least loss on the vectors and targets that choose."""
    fits: list[LinearFit] = []
    losses: dict[float, float] = {}
    for penalty in sorted(grid, reverse=True):
        fits.append(fit_linear(vectors, targets, kind, penalty, fits[-1] if fits else None))
        logits = fits[-1].logits(choosing[0])
        losses[penalty] = float(mean_loss(logits, choosing[1].double(), kind))
    best = min(fits, key=lambda fit: losses[fit.penalty])
    return Chosen(fit=best, losses=losses)
