"""EPIC-Kitchens-100 as officially configured."""

from dataclasses import replace
from pathlib import Path

from tubelet.data.epic import EpicKitchens
from tubelet.models.variants import variant
from tubelet.recipes.official import official
from tubelet.training.config import Train
from tubelet.video.view import View


def vivit_l_fe_epic(data: EpicKitchens, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-L/16x2, Model 2, on EPIC-Kitchens-100: verbs and nouns. The released model has 43.6 % of actions, 4x1.

    Args:
        data: EPIC-Kitchens-100, of which the official run saw 67,217 training segments.
        out: an empty or new folder.
        init: officially the model trained on Kinetics-400, or ViT-L/16 of ImageNet-21k.
    """
    view = View.scenic(frames=32, stride=1, size=224, resize=256)
    return official(
        data,
        out,
        init,
        model=replace(variant("l-16x2-fe"), drop_path=0.2),
        view=replace(view, rand_augment=(2, 15), views="4x1"),
        epochs=50,
        lr=0.5,
        label_smoothing=0.2,
        mixup=0.1,
    )
