"""AdamW with the regularisation that video transformers are trained with today; not in the paper."""

from dataclasses import replace
from pathlib import Path

from tubelet.data.source import Source
from tubelet.loading import open_source
from tubelet.models.variants import variant
from tubelet.training.config import Optimizer, Pretrained, Train
from tubelet.video.view import View
from tubelet.weights.image_vit import IMAGENET_MEAN, IMAGENET_STD
from tubelet.weights.start import Start


def modern(data: Source, out: Path, *, init: Path | None = None, model: str = "b-16x2-fe") -> Train:
    """A large set of clips with AdamW, layer-wise decay, mixup and cutmix, and two clips of each decoded video.

    Args:
        data: any source.
        out: an empty or new folder.
        init: weights to start from, of an image ViT or of a ViViT; None: from scratch.
        model: a named size (`tubelet.models.variants.VARIANTS`), whose parts must fit `init`.
    """
    source = None if init is None else open_source(init)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if source is None else source.normalisation
    config = replace(variant(model), drop_path=0.1, drop_path_rescale=True)
    if source is not None:
        config = replace(config, activation=source.config.activation, norm_eps=source.config.norm_eps)
    view = View.image(mean, std, frames=config.frames, size=config.size)
    return Train(
        data=data,
        model=config,
        view=replace(
            view,
            rand_augment=(2, 9),
            rand_augment_set="corrected",
            erase=0.25,
            views="4x3",
        ),
        out=out,
        init=None if init is None else Pretrained(file=init, rules=Start(inflation="average")),
        epochs=30,
        batch_size=64,
        replicas=8,
        optimizer=Optimizer(
            lr=5e-4,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            warmup=1 / 6,
            layer_decay=1.0 if init is None else 0.75,
        ),
        label_smoothing=0.1,
        mixup=0.8,
        cutmix=1.0,
        clips_per_video=2,
        ema=0.9998,
        precision="bf16",
        workers=8,
    )
