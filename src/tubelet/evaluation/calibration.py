"""Is a probability what it says? Reliability bins and the expected calibration error."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

BINS = 15
"""Of equal width from 0 to 1, as Guo et al. 2017 have them."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The videos whose best class has a probability from `low` to below `high`."""

    low: float
    high: float
    videos: int
    """How many there are."""
    confidence: float | None
    """Their mean probability of the best class; None without videos."""
    accuracy: float | None
    """The share of them where it is right; None without videos."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the probability of the best class is from how often it is right."""

    ece: float
    """The expected calibration error: |confidence - accuracy|, mean over the bins by their videos (Guo, Pleiss, Sun
    and Weinberger 2017, arXiv 1706.04599, equation 3)."""
    bins: tuple[Bin, ...]
    """The reliability diagram."""


def calibrate(logits: Tensor, target: Tensor) -> Calibration:
    """The calibration of one head on at least one video: logits `(N, classes)`, targets `(N,)`."""
    probabilities = logits.softmax(dim=-1)
    confidence, answer = probabilities.max(dim=1)
    right = (answer == target).double()
    edges = torch.linspace(0, 1, BINS + 1)
    place = (torch.bucketize(confidence, edges, right=True) - 1).clamp(max=BINS - 1)  # 1.0 is in the last
    videos = place.bincount(minlength=BINS)
    sums = [place.bincount(values.double(), minlength=BINS) for values in (confidence, right)]
    means = [
        [None if n == 0 else total / n for total, n in zip(column.tolist(), videos.tolist(), strict=True)]
        for column in sums
    ]
    one_class = probabilities.shape[1] == 1  # always right, and certain of it
    ece = (
        0.0
        if one_class
        else multiclass_calibration_error(probabilities, target, probabilities.shape[1], BINS)
    )
    return Calibration(
        ece=float(ece),
        bins=tuple(
            Bin(low=low, high=high, videos=n, confidence=sure, accuracy=share)
            for low, high, n, sure, share in zip(
                edges[:-1].tolist(), edges[1:].tolist(), videos.tolist(), *means, strict=True
            )
        ),
    )
