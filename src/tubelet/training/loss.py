"""What training lowers, and what it must fall below before anything was learned."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Labels


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    labels: Labels,
    *,
    smoothing: float = 0.0,
    weights: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """Mean over the heads of each head's cross-entropy over the samples that have a label for it.

    As officially for several heads (EPIC-Kitchens): the mean, and smoothing by each head's own classes.

    Args:
        logits: `(B, sum(classes))`.
        targets: int64 `(B, heads)`; `UNKNOWN` (-1) where a sample has no label.
        labels: the heads.
        smoothing: share of the target spread over all classes of the head.
        weights: for each head the weight of each class, or None.

    Returns:
        A scalar in nats; a head that no sample of the batch has a label for counts 0.
    """
    parts: list[Tensor] = []
    for number, part in enumerate(labels.split(logits.float()).values()):
        target = targets[:, number]
        known = target != UNKNOWN
        if not bool(known.any()):
            parts.append(part.sum() * 0)  # keeps the head in the graph
            continue
        weight = None if weights is None else weights[number]
        parts.append(F.cross_entropy(part[known], target[known], weight, label_smoothing=smoothing))
    return torch.stack(parts).mean()


def class_counts(samples: Sequence[Sample], labels: Labels) -> list[Tensor]:
    """For each head the number of samples of each class."""
    return [
        torch.bincount(
            torch.tensor(
                [s.labels[number] for s in samples if s.labels[number] != UNKNOWN], dtype=torch.int64
            ),
            minlength=len(head.classes),
        )
        for number, head in enumerate(labels.heads)
    ]


def balanced_weights(counts: Sequence[Tensor]) -> list[Tensor]:
    """Weights by which every class of a head counts the same; their mean over the samples is 1."""
    weights: list[Tensor] = []
    for count in counts:
        present = count > 0
        weight = count.sum() / (present.sum() * count.clamp(min=1))
        weights.append(torch.where(present, weight, 0.0))
    return weights


def prior_entropy(counts: Sequence[Tensor]) -> float:
    """The loss, in nats, of predicting the class frequencies whatever the video shows; mean over the heads."""
    entropies: list[Tensor] = []
    for count in counts:
        share = count.double() / count.sum()
        entropies.append(-torch.xlogy(share, share).sum())
    return float(torch.stack(entropies).mean())


def verdict(loss: float, prior: float) -> str | None:
    """A plain sentence if training has learned next to nothing from the pixels; None otherwise.

    Args:
        loss: the training cross-entropy without smoothing or class weights, in nats.
        prior: `prior_entropy` of the training labels.
    """
    if loss < 0.97 * prior:
        return None
    return (
        f"Nothing learned: the training loss is {loss:.3f}, and predicting the class frequencies alone, whatever "
        f"the video shows, gives {prior:.3f}. Look at a few clips as the view shows them, try one batch alone "
        "(it must over-fit), another learning rate, or a longer warm-up."
    )
