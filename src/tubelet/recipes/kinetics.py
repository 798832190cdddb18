"""Kinetics-400 and -600 as officially configured, and Moments in Time as in the paper, which trains it alike.

The configurations' own numbers; the paper's table differs from them in places (the rate for Kinetics-600; four
temporal blocks for ViViT-L, where the configurations have 24).
"""

from dataclasses import replace
from pathlib import Path

from tubelet.data.kinetics import Kinetics
from tubelet.data.moments import MomentsInTime
from tubelet.models.variants import variant
from tubelet.recipes.official import official
from tubelet.training.config import Train
from tubelet.video.view import View

VIEW = replace(View.scenic(frames=32, stride=2, size=224, resize=256), colour=(0.8, 0.1))
"""32 frames, every second one; jitter, crop, flip and colour; tested on 4x3 views."""


def vivit_b_k400(data: Kinetics, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-B/16x2, Model 1, on Kinetics-400. The released model has 79.9 % on 4x3 views.

    Args:
        data: Kinetics-400, of which the official run saw 214,834 training videos.
        out: an empty or new folder.
        init: officially ViT-B/16 of ImageNet-21k.
    """
    return official(data, out, init, model=variant("b-16x2"), view=VIEW, epochs=30, lr=0.1)


def vivit_b_fe_k400(data: Kinetics, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-B/16x2, Model 2, on Kinetics-400. The released model has 78.4 % on 4x3 views.

    Args:
        data: Kinetics-400, of which the official run saw 214,834 training videos.
        out: an empty or new folder.
        init: officially ViT-B/16 of ImageNet-21k.
    """
    return official(data, out, init, model=variant("b-16x2-fe"), view=VIEW, epochs=30, lr=0.05)


def vivit_l_fe_k400(data: Kinetics, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-L/16x2, Model 2 with 24 temporal blocks, on Kinetics-400. The released model has 80.3 % on 4x3 views.

    Args:
        data: Kinetics-400, of which the official run saw 214,834 training videos.
        out: an empty or new folder.
        init: officially ViT-L/16 of ImageNet-21k.
    """
    return official(data, out, init, model=variant("l-16x2-fe-24"), view=VIEW, epochs=30, lr=0.1)


def vivit_l_fe_k600(data: Kinetics, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-L/16x2, Model 2 with 24 temporal blocks, on Kinetics-600. The released model has 81.6 % on 4x3 views.

    Args:
        data: Kinetics-600, of which the official run saw 363,213 training videos.
        out: an empty or new folder.
        init: officially ViT-L/16 of ImageNet-21k.
    """
    return official(data, out, init, model=variant("l-16x2-fe-24"), view=VIEW, epochs=30, lr=0.05)


def vivit_l_fe_moments(data: MomentsInTime, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-L/16x2, Model 2, on Moments in Time, as remembered of the paper's table: UNVERIFIED.

    There is no official configuration. Ten epochs at a rate of 0.25, augmented as Kinetics; four temporal blocks.

    Args:
        data: Moments in Time, 339 classes.
        out: an empty or new folder.
        init: officially ViT-L/16 of ImageNet-21k.
    """
    return official(data, out, init, model=variant("l-16x2-fe"), view=VIEW, epochs=10, lr=0.25)
