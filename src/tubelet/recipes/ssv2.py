"""Something-Something v2 as officially configured."""

from dataclasses import replace
from pathlib import Path

from tubelet.data.ssv2 import SomethingSomethingV2
from tubelet.models.variants import variant
from tubelet.recipes.official import official
from tubelet.training.config import Train
from tubelet.video.view import View


def vivit_l_fe_ssv2(data: SomethingSomethingV2, out: Path, *, init: Path | None = None) -> Train:
    """ViViT-L/16x2, Model 2, 256 pixels, on Something-Something v2. No such model was released.

    Clips are mirrored as officially, although some classes say left or right: `--flip-swaps` or `--view.no-flip`
    mends that. The rate is the configuration's; the paper's differs.

    Args:
        data: Something-Something v2, of which the official run saw 168,913 training videos.
        out: an empty or new folder.
        init: officially the model trained on Kinetics-400, or ViT-L/16 of ImageNet-21k.
    """
    view = View.scenic(frames=32, stride=1, size=256, resize=288)
    return official(
        data,
        out,
        init,
        model=replace(variant("l-16x2-fe"), size=256, drop_path=0.3),
        view=replace(view, rand_augment=(2, 20)),
        epochs=35,
        lr=0.4,
        label_smoothing=0.3,
        mixup=0.3,
        positions="resize",
    )
