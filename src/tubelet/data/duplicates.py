"""Clips that show the same, exactly or nearly: coded anew, made smaller, brighter or grey.

Two clips are nearly the same if their small pictures agree (`WHOLE`), and what changes in them changes alike
(`MOTION`): the second tells apart clips of one scene by one camera. Both are correlations over all small frames,
so that brightness and contrast do not matter. Copies that start elsewhere, are mirrored or cropped are not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WHOLE = 0.97
"""Least correlation of the small pictures."""
MOTION = 0.88
"""Least correlation of their differences from their mean over time. Of 319,600 pairs of clips of one face before one
camera none reaches both; their copies at half the size, or with H.264's CRF 28, all do (docs/data.md)."""
STILL = 1.0
"""Grey levels: clips that change less have no motion to compare."""
WHOLE_STILL = 0.999
"""Least correlation of clips without motion."""
BLANK = 1.0
"""Grey levels: small pictures that vary less in space and time show nothing to compare."""
BLOCK = 1024
"""Clips that are compared with as many others at a time."""


@dataclass(frozen=True)
class Pair:
    """Two clips that show nearly the same, by their indices, and how alike they are (at most 1)."""

    first: int
    second: int
    likeness: float


def near_duplicates(looks: Sequence[NDArray[np.float16]], groups: Sequence[int]) -> Iterator[Pair]:
    """The pairs of clips of different groups that show nearly the same.

    Args:
        looks: the small pictures of each clip, `(LOOKS, SIDE, SIDE)`.
        groups: clips of one group are not compared: a number for each clip, such as that of its split.
    """
    if not looks:
        return
    together = torch.from_numpy(np.stack(looks)).flatten(2)
    group = torch.tensor(groups)
    for a in range(0, len(together), BLOCK):
        rows = features(together[a : a + BLOCK].float())
        for b in range(a, len(together), BLOCK):
            columns = rows if a == b else features(together[b : b + BLOCK].float())
            likeness = compare(rows, columns)
            likeness[group[a : a + BLOCK, None] == group[None, b : b + BLOCK]] = 0
            for i, j in likeness.nonzero().tolist():
                if a + i < b + j:
                    yield Pair(a + i, b + j, float(likeness[i, j]))


@dataclass(frozen=True, eq=False)
class Features:
    """What is compared of N clips."""

    whole: Tensor
    """`(N, D)` of length 1; 0 where nothing is to be seen."""
    motion: Tensor
    """`(N, D)` of length 1."""
    still: Tensor
    """bool `(N,)`."""


def features(looks: Tensor) -> Features:
    """Small pictures `(N, T, S)` as what is compared of them."""
    whole = looks.flatten(1) - looks.flatten(1).mean(dim=1, keepdim=True)
    motion = (looks - looks.mean(dim=1, keepdim=True)).flatten(1)
    blank = whole.square().mean(dim=1, keepdim=True).sqrt() < BLANK
    still = motion.square().mean(dim=1).sqrt() < STILL
    normalise = torch.nn.functional.normalize
    return Features(torch.where(blank, 0.0, normalise(whole)), normalise(motion), still)


def compare(a: Features, b: Features) -> Tensor:
    """How alike clips are that are nearly the same `(N, M)`; 0 for all others."""
    whole, motion = a.whole @ b.whole.T, a.motion @ b.motion.T
    both_still = a.still[:, None] & b.still[None]
    same = torch.where(both_still, whole >= WHOLE_STILL, (whole >= WHOLE) & (motion >= MOTION))
    return torch.where(same, torch.where(both_still, whole, torch.minimum(whole, motion)), 0.0)
