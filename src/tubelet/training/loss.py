"""What training lowers, and what it must fall below before anything was learned."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Head, Labels


def objective(
    logits: Tensor,
    targets: Tensor,
    labels: Labels,
    *,
    smoothing: float = 0.0,
    class_weights: Sequence[Tensor | None] | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over the heads of each head's loss, over the samples that have a label for it.

    The loss of a `single` head is the cross-entropy, of a `multi` head the sum of its classes' sigmoid
    cross-entropies, of a `number` head the mean of its squared errors. As officially: several heads count the same
    (EPIC-Kitchens), and each smooths by its own classes.

    Args:
        logits: `(B, sum(classes))`.
        targets: float of the same shape, as `Labels.targets` makes them, or a mixture of such; NaN where nobody said.
        labels: the heads.
        smoothing: share of the target spread over all classes of the head, numbers excepted.
        class_weights: for each head the weight of each class, or None.
        weights: `(B,)`, how much each sample counts; None: all the same.

    Returns:
        A scalar in nats; a head that no sample of the batch has a label for counts 0.
    """
    parts: list[Tensor] = []
    said, wanted = labels.split(logits.float()), labels.split(targets.float())
    for number, head in enumerate(labels.heads):
        target = wanted[head.name]
        weight = (~target.isnan().any(dim=-1)).float()
        target = target.nan_to_num(0.0)
        if weights is not None:
            weight = weight * weights
        by_class = None if class_weights is None else class_weights[number]
        if by_class is not None:
            weight = weight * (target @ by_class.to(target))
        each = sample_losses(head, said[head.name], target, smoothing)
        parts.append((each * weight).sum() / (weight.sum() + 1e-8))
    return torch.stack(parts).mean()


def sample_losses(head: Head, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """The loss of each sample for one head: `(B, classes)` twice to `(B,)`."""
    if head.kind == "number":
        return (logits - target).square().mean(dim=-1)
    target = target * (1 - smoothing) + smoothing / len(head.classes)
    if head.kind == "multi":
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=-1)
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    labels: Labels,
    *,
    smoothing: float = 0.0,
    weights: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """`objective` for class numbers too: targets int64 `(B, heads)`, `UNKNOWN` (-1) where nobody said."""
    return objective(
        logits, dense_targets(targets, labels), labels, smoothing=smoothing, class_weights=weights
    )


def dense_targets(targets: Tensor, labels: Labels) -> Tensor:
    """Class numbers `(B, heads)` as what the outputs should become, `(B, sum(classes))`; floats are that already."""
    if targets.is_floating_point():
        return targets
    parts: list[Tensor] = []
    for number, head in enumerate(labels.heads):
        target = targets[:, number]
        hot = F.one_hot(target.clamp(min=0), len(head.classes)).float()
        parts.append(hot.masked_fill((target == UNKNOWN)[:, None], torch.nan))
    return torch.cat(parts, dim=-1)


def class_numbers(targets: Tensor, labels: Labels) -> Tensor:
    """The inverse of `dense_targets`: int64 `(B, heads)`, `UNKNOWN` for heads that are not `single` too."""
    parts: list[Tensor] = []
    for head, target in zip(labels.heads, labels.split(targets).values(), strict=True):
        unknown = target.isnan().any(dim=-1) | (head.kind != "single")
        parts.append(target.nan_to_num(0.0).argmax(dim=-1).masked_fill(unknown, UNKNOWN))
    return torch.stack(parts, dim=-1)


def class_counts(samples: Sequence[Sample], labels: Labels) -> list[Tensor]:
    """For each head the number of samples of each class; zeros for heads that are not `single`."""
    counts: list[Tensor] = []
    for number, head in enumerate(labels.heads):
        row = [label for sample in samples if isinstance(label := sample.labels[number], int)]
        known = torch.tensor([label for label in row if label != UNKNOWN], dtype=torch.int64)
        counts.append(torch.bincount(known, minlength=len(head.classes)))
    return counts


def balanced_weights(counts: Sequence[Tensor]) -> list[Tensor]:
    """Weights by which every class of a head counts the same; their mean over the samples is 1."""
    weights: list[Tensor] = []
    for count in counts:
        present = count > 0
        weight = count.sum() / (present.sum() * count.clamp(min=1))
        weights.append(torch.where(present, weight, 0.0))
    return weights


def prior_entropy(samples: Sequence[Sample], labels: Labels) -> float:
    """The `objective` of the best answer that is the same whatever the video shows: what learning must fall below.

    That answer is the frequency of each class, of a `number` head the mean of each number. Mean over the heads of
    what it leaves: the entropy of the classes, in nats; for a `multi` head the sum of the entropies of its classes,
    each of which holds or not; for a `number` head the mean variance of its numbers.
    """
    parts: list[float] = []
    for number, head in enumerate(labels.heads):
        said = [label for sample in samples if (label := sample.labels[number]) != UNKNOWN]
        if head.kind == "number":
            parts.append(constant_loss(head, torch.tensor(said, dtype=torch.float64)))
            continue
        classes = [c for label in said for c in ((label,) if isinstance(label, int) else label)]
        count = torch.bincount(torch.tensor(classes, dtype=torch.int64), minlength=len(head.classes))
        parts.append(entropy(head, count.double() / max(len(said), 1)))
    return sum(parts) / len(parts)


def constant_loss(head: Head, targets: Tensor) -> float:
    """The least loss of a head whose answer is the same for all of these targets, `(B, classes)` without NaN."""
    if not len(targets):
        return 0.0  # as `objective` counts it
    if head.kind == "number":
        return float(targets.double().var(dim=0, correction=0).mean())
    return entropy(head, targets.double().mean(dim=0))


def entropy(head: Head, share: Tensor) -> float:
    """Of the classes of a head, each of which holds for a share of the clips, in nats."""
    found = torch.xlogy(share, share).sum()
    if head.kind == "multi":
        found = found + torch.xlogy(1 - share, 1 - share).sum()
    return -float(found)


def verdict(loss: float, prior: float) -> str | None:
    """A plain sentence if training has learned next to nothing from the pixels; None otherwise.

    Args:
        loss: the training loss without smoothing or class weights.
        prior: `prior_entropy` of the training labels.
    """
    if loss < 0.97 * prior:
        return None
    return (
        f"Nothing learned: the training loss is {loss:.3f}, and predicting the class frequencies (of numbers, the "
        f"mean) alone, whatever the video shows, gives {prior:.3f}. Look at a few clips as the view shows them, try "
        "one batch alone (it must over-fit), another learning rate, or a longer warm-up."
    )
