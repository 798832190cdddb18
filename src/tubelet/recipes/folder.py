"""Your own clips: a folder for each class, or a table."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tubelet.data.folders import Folders
from tubelet.data.table import Table
from tubelet.models.variants import variant
from tubelet.training.config import Frozen, ImageStart, Optimizer, Train
from tubelet.video.view import View
from tubelet.weights.image_vit import IMAGENET_MEAN, IMAGENET_STD, read_image_vit
from tubelet.weights.start import Start


def folder(
    data: Folders | Table,
    out: Path,
    *,
    model: str = "ti-16x2-fe",
    start: Path | None = None,
    blocks: int | None = None,
    frames: int = 16,
    size: int | tuple[int, int] = 112,
    tubelet_frames: int = 2,
    region: tuple[float, float, float, float] | None = None,
    stride: int | None = None,
    flip: bool = True,
    epochs: int = 30,
    frozen_epochs: int = 0,
    frozen_draws: int = 4,
    frozen_lr: float = 1e-3,
    batch_size: int = 16,
    lr: float = 3e-4,
    backbone_lr_scale: float | None = None,
    dropout: float = 0.0,
    label_smoothing: float = 0.1,
    class_weights: Literal["none", "balanced"] = "none",
    precision: Literal["fp32", "bf16"] = "fp32",
    device: str = "auto",
    patience: int | None = 10,
    keep_decoded: bool = False,
    workers: int = 2,
    seed: int = 0,
) -> Train:
    """A small model on clips of your own, with settings that learn from a few hundred clips on one machine.

    Args:
        data: `Folders(root=...)` or `Table(file=...)`.
        out: an empty or new folder.
        model: a named size (`tubelet.models.variants.VARIANTS`); its width must be that of `start`.
        start: an image ViT's weights; None: from scratch.
        blocks: keep only the first blocks of the (spatial) encoder. What moves a little, such as lips, is in the
            first blocks of an image ViT; the last ones say what is in the picture.
        frames: frames of a clip.
        size: pixels of a frame: the side of a square, or (height, width).
        tubelet_frames: frames of a tubelet.
        region: the part of the frame to look at: (top, left, bottom, right) in fractions.
        stride: take every `stride`-th frame; None: spread the frames evenly over the clip.
        flip: mirror half of the clips in training; wrong where left and right are in the labels.
        epochs: passes over the clips.
        frozen_epochs: passes of a first stage on stored frame vectors, for Model 2 (see `Frozen`).
        frozen_draws: random views of each clip that this first stage stores.
        frozen_lr: highest learning rate of this first stage.
        batch_size: clips at a time.
        lr: highest learning rate.
        backbone_lr_scale: factor on the rate of everything below the temporal encoder or the head. None: 0.1 after
            a frozen stage, whose calibration makes the model sensitive to what is below; otherwise 1.
        dropout: of the whole model. A frozen stage knows only that of the temporal encoder.
        label_smoothing: share of the target that is spread over all classes.
        class_weights: `balanced` lets every class weigh the same, however rare it is.
        precision: `bf16` computes matrix products in bfloat16.
        device: `auto` takes a GPU where there is one.
        patience: stop after this many epochs without a better validation accuracy; None: never.
        keep_decoded: keep decoded clips in memory.
        workers: processes that decode.
        seed: of everything random.
    """
    named = variant(model)
    shape = {"frames": frames, "size": size, "tubelet": (tubelet_frames, *named.tubelet[1:])}
    config = replace(named, **shape, depth=blocks or named.depth, dropout=dropout)
    if config.attention in ("joint", "factorised_encoder"):
        config = replace(config, pool="mean")
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if start is not None:
        image = read_image_vit(start)
        mean, std = image.mean, image.std
        config = replace(config, activation="gelu_erf" if image.erf else "gelu_tanh")
    resize = scaled(size, 8 / 7)  # room for a random crop
    view = View(
        frames=frames,
        stride=stride,
        uniform=stride is None,
        size=size,
        fit="squash" if isinstance(size, tuple) else "shorter_side",
        resize=resize,
        region=region,
        mean=mean,
        std=std,
        flip=flip,
    )
    if backbone_lr_scale is None:
        backbone_lr_scale = 0.1 if frozen_epochs else 1.0
    frozen = Frozen(epochs=max(frozen_epochs, 1), draws=frozen_draws, optimizer=Optimizer(lr=frozen_lr))
    return Train(
        data=data,
        model=config,
        view=view,
        out=out,
        start=None if start is None else ImageStart(file=start, rules=Start(inflation="average")),
        frozen=frozen if frozen_epochs else None,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=Optimizer(lr=lr, backbone_lr_scale=backbone_lr_scale),
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        precision=precision,
        device=device,
        patience=patience,
        keep_decoded=keep_decoded,
        workers=workers,
        seed=seed,
    )


def scaled(size: int | tuple[int, int], factor: float) -> int | tuple[int, int]:
    """A size in pixels times a factor."""
    if isinstance(size, int):
        return round(size * factor)
    return round(size[0] * factor), round(size[1] * factor)
