"""Your own clips: a folder for each class, or a table."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tubelet.data.source import Source
from tubelet.loading import open_source
from tubelet.models.variants import variant
from tubelet.training.config import Frozen, Optimizer, Pretrained, Train
from tubelet.video.view import View
from tubelet.weights.image_vit import IMAGENET_MEAN, IMAGENET_STD
from tubelet.weights.start import Start, start_config
from tubelet.weights.surgery import new_normalisation


def folder(
    data: Source,
    out: Path,
    *,
    init: Path | None = None,
    model: str | None = None,
    blocks: int | None = None,
    frames: int = 16,
    size: int | tuple[int, int] = 112,
    tubelet_frames: int | None = None,
    channels: Literal[1, 3] = 3,
    region: tuple[float, float, float, float] | None = None,
    stride: int | None = None,
    frozen_epochs: int = 0,
) -> Train:
    """A small model on clips of your own, with settings that learn from a few hundred clips on one machine.

    Args:
        data: `Folders(root=...)`, `Table(file=...)`, or any other source.
        out: an empty or new folder.
        init: weights to start from, of an image ViT or of a ViViT (see `tubelet.start_from`); None: from scratch.
        model: a named size (`tubelet.models.variants.VARIANTS`), whose parts must fit `init`. None: what `init` is,
            an image ViT as Model 2 around it; from scratch `ti-16x2-fe`.
        blocks: keep only the first blocks of the (spatial) encoder. What moves a little, such as lips, is in the
            first blocks of an image ViT; the last ones say what is in the picture.
        frames: frames of a clip.
        size: pixels of a frame: the side of a square, or (height, width).
        tubelet_frames: frames of a tubelet. None: those of `init` where it is a ViViT, else 2.
        channels: 3 looks at colours, 1 at brightness only, as for thermal video.
        region: the part of the frame to look at: (top, left, bottom, right) in fractions.
        stride: take every `stride`-th frame; None: spread the frames evenly over the clip.
        frozen_epochs: passes of a first stage on stored frame vectors, for Model 2 (see `Frozen`). After it the rate
            below the temporal encoder is a fifth, since its calibration makes the model sensitive to what is below.
    """
    source = None if init is None else open_source(init)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if source is None else source.normalisation
    if model is not None or source is None:
        config = variant(model or "ti-16x2-fe")
        if source is not None:
            config = replace(config, activation=source.config.activation, norm_eps=source.config.norm_eps)
    else:
        config = start_config(source, **({"attention": "factorised_encoder"} if source.image else {}))
    new = source is None or source.image
    tubelet = (tubelet_frames or (2 if new else config.tubelet[0]), *config.tubelet[1:])
    shape = {"frames": frames, "size": size, "channels": channels, "tubelet": tubelet}
    config = replace(config, **shape, depth=blocks or config.depth)
    if config.attention in ("joint", "factorised_encoder") and new:
        config = replace(config, pool="mean")
    rules = Start(inflation="average")
    if len(mean) != channels:
        mean, std = new_normalisation(mean, std, channels, rules.channels)
    view = View(
        frames=frames,
        stride=stride,
        uniform=stride is None,
        size=size,
        fit="squash" if isinstance(size, tuple) else "shorter_side",
        resize=scaled(size, 8 / 7),  # room for a random crop
        region=region,
        channels=channels,
        mean=mean,
        std=std,
        flip=True,
    )
    return Train(
        data=data,
        model=config,
        view=view,
        out=out,
        init=None if init is None else Pretrained(file=init, rules=rules),
        frozen=Frozen(epochs=frozen_epochs, calibrate=new, sine_positions=new) if frozen_epochs else None,
        optimizer=Optimizer(backbone_lr_scale=0.2 if frozen_epochs else 1.0),
        patience=10,
    )


def scaled(size: int | tuple[int, int], factor: float) -> int | tuple[int, int]:
    """A size in pixels times a factor."""
    if isinstance(size, int):
        return round(size * factor)
    return round(size[0] * factor), round(size[1] * factor)
