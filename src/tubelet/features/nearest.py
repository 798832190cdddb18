"""k nearest neighbours by cosine, whose votes are weighted as in DINO (Caron et al. 2021, arXiv 2104.14294)."""

import torch
from torch import Tensor
from torch.nn import functional as F

AT_A_TIME = 2**24
"""Similarities in memory."""


def neighbour_shares(
    known: Tensor, targets: Tensor, asked: Tensor, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """What the nearest known vectors say of others.

    Each of the k known vectors of the largest cosine votes for its classes with exp(cosine / temperature).

    Args:
        known: `(N, D)`.
        targets: what holds of them, 0 or 1, `(N, classes)`.
        asked: `(M, D)`.
        k: how many neighbours vote; all, where there are fewer.
        temperature: the smaller, the more the nearest counts.

    Returns:
        The share of the votes for each class, `(M, classes)`.
    """
    known, targets = F.normalize(known, dim=1), targets.to(known)
    found: list[Tensor] = []
    for part in F.normalize(asked, dim=1).split(max(1, AT_A_TIME // max(len(known), 1))):
        near = (part @ known.T).topk(min(k, len(known)), dim=1)
        weights = (near.values / temperature).softmax(dim=1)  # the votes over their sum
        found.append(torch.einsum("mk,mkc->mc", weights, targets[near.indices]))
    return torch.cat(found)
