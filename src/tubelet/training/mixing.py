"""Mixup and cutmix: the clips of a replica group mixed with the same clips in reverse order, targets likewise.

Legend: B clips of the group, F frames, C channels, H W pixels, K outputs of all heads.
"""

import math

import numpy as np
from torch import Tensor

Mixed = tuple[Tensor, Tensor]
"""Clips (B, F, C, H, W), and targets (B, K)."""


def mix_group(
    video: Tensor,
    targets: Tensor,
    mixup_alpha: float | None,
    cutmix_alpha: float | None,
    generator: np.random.Generator,
) -> Mixed:
    """Mix a group by one random share; where both ways are on, a coin decides between them.

    Args:
        video: float (B, F, C, H, W); for mixup alone (B, ...).
        targets: (B, K); NaN, where nobody said, makes the mixture NaN too.
        mixup_alpha: the share of mixup is from Beta(alpha, alpha); None: no mixup.
        cutmix_alpha: likewise for the share of the area that cutmix leaves.
        generator: draws everything.
    """
    if mixup_alpha is None and cutmix_alpha is None:
        return video, targets
    cut = mixup_alpha is None or (cutmix_alpha is not None and generator.random() < 0.5)
    alpha = cutmix_alpha if cut else mixup_alpha
    assert alpha is not None
    share = float(generator.beta(alpha, alpha))
    if not cut:
        return mixup(video, targets, share)
    return cutmix(video, targets, rectangle(share, video.shape[-2], video.shape[-1], generator))


def mixup(video: Tensor, targets: Tensor, share: float) -> Mixed:
    """`share` of each clip and the rest of its partner's (Zhang et al. 2018; partners as officially, in reverse)."""
    return video * share + video.flip(0) * (1 - share), targets * share + targets.flip(0) * (1 - share)


def cutmix(video: Tensor, targets: Tensor, inside: tuple[int, int, int, int]) -> Mixed:
    """Put a rectangle of each clip's partner into it, in all frames (Yun et al. 2019).

    Args:
        video: float (B, F, C, H, W).
        targets: (B, K), mixed by the areas.
        inside: first row, end of rows, first column, end of columns.
    """
    top, bottom, left, right = inside
    result = video.clone()
    result[..., top:bottom, left:right] = video.flip(0)[..., top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (video.shape[-2] * video.shape[-1])
    return result, targets * share + targets.flip(0) * (1 - share)


def rectangle(
    share: float, height: int, width: int, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """A rectangle that leaves about `share` of the frame, around a random centre and cut off at the border."""
    side = math.sqrt(1 - share)
    rows, columns = round(side * height), round(side * width)
    top, left = (int(generator.integers(n)) - part // 2 for n, part in ((height, rows), (width, columns)))
    return max(top, 0), max(min(top + rows, height), 0), max(left, 0), max(min(left + columns, width), 0)
