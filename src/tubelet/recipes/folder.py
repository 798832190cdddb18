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
    model: str | None = None,
    start: Path | None = None,
    blocks: int | None = None,
    frames: int = 16,
    size: int | tuple[int, int] = 112,
    tubelet_frames: int | None = None,
    channels: Literal[1, 3] = 3,
    region: tuple[float, float, float, float] | None = None,
    stride: int | None = None,
    flip: bool = True,
    epochs: int = 30,
    frozen_epochs: int = 0,
    frozen_draws: int = 4,
    frozen_lr: float = 1e-3,
    lora: int | None = None,
    batch_size: int = 16,
    lr: float = 3e-4,
    backbone_lr_scale: float | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    label_smoothing: float = 0.1,
    mixup: float | None = None,
    cutmix: float | None = None,
    colour: tuple[float, float] | None = None,
    rand_augment: tuple[int, float] | None = None,
    erase: float = 0.0,
    flip_swaps: tuple[tuple[str, str], ...] = (),
    clips_per_video: int = 1,
    replicas: int = 1,
    sam: float | None = None,
    ema: float | None = None,
    class_weights: Literal["none", "balanced"] = "none",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    compile: bool = False,
    sharded: bool = False,
    device: str = "auto",
    patience: int | None = 10,
    keep_decoded: bool = False,
    workers: int = 2,
    seed: int = 0,
    save_minutes: float | None = 10.0,
    tensorboard: bool = False,
    wandb: str | None = None,
) -> Train:
    """A small model on clips of your own, with settings that learn from a few hundred clips on one machine.

    Args:
        data: `Folders(root=...)`, `Table(file=...)`, or any other source.
        out: an empty or new folder.
        model: a named size (`tubelet.models.variants.VARIANTS`), whose parts must fit `start`. None: what `start` is,
            an image ViT as Model 2 around it; from scratch `ti-16x2-fe`.
        start: weights to start from, of an image ViT or of a ViViT (see `tubelet.start_from`); None: from scratch.
        blocks: keep only the first blocks of the (spatial) encoder. What moves a little, such as lips, is in the
            first blocks of an image ViT; the last ones say what is in the picture.
        frames: frames of a clip.
        size: pixels of a frame: the side of a square, or (height, width).
        tubelet_frames: frames of a tubelet. None: those of `start` where it is a ViViT, else 2.
        channels: 3 looks at colours, 1 at brightness only, as for thermal video.
        region: the part of the frame to look at: (top, left, bottom, right) in fractions.
        stride: take every `stride`-th frame; None: spread the frames evenly over the clip.
        flip: mirror half of the clips in training; where left and right are in the labels, say so in `flip_swaps`.
        epochs: passes over the clips.
        frozen_epochs: passes of a first stage on stored frame vectors, for Model 2 (see `Frozen`).
        frozen_draws: random views of each clip that this first stage stores.
        frozen_lr: highest learning rate of this first stage.
        lora: rank of adapters: only these and the head learn, and the model is saved with them merged. Needs `start`
            and the extra `lora`; give a higher `lr`, such as 1e-3. None: no adapters.
        batch_size: clips at a time.
        lr: highest learning rate.
        backbone_lr_scale: factor on the rate of everything below the temporal encoder or the head. None: 0.1 after
            a frozen stage, whose calibration makes the model sensitive to what is below; otherwise 1.
        dropout: of the whole model. A frozen stage knows only that of the temporal encoder.
        drop_path: stochastic depth: share of the clips for which the last block's branches are dropped.
        label_smoothing: share of the target that is spread over all classes.
        mixup: mix clips by shares from Beta(mixup, mixup), such as 0.3.
        cutmix: put rectangles of clips into others, by shares from Beta(cutmix, cutmix), such as 1.
        colour: probabilities of a colour jitter and of a grey clip, such as 0.8 0.1.
        rand_augment: layers and magnitude of RandAugment, such as 2 10.
        erase: probability of noise over one rectangle.
        flip_swaps: pairs of classes that a mirror image exchanges, one after the other.
        clips_per_video: clips drawn from a video each time it is decoded.
        replicas: parts of a batch that are computed one after the other, in less memory (see `Train.replicas`).
        sam: distance of sharpness-aware minimisation, such as 0.05; doubles the time.
        ema: decay of an average of the weights, such as 0.999, which is then what is kept.
        class_weights: `balanced` lets every class weigh the same, however rare it is.
        precision: `bf16` computes matrix products in bfloat16, `fp16` in float16.
        compile: compile the model: a slow start, then faster steps.
        sharded: of several processes each holds a part of the model (see `Train.sharded`).
        device: `auto` takes a GPU where there is one.
        patience: stop after this many epochs without a better validation accuracy; None: never.
        keep_decoded: keep decoded clips in memory.
        workers: processes that decode.
        seed: of everything random.
        save_minutes: save a checkpoint inside an epoch after so many minutes; None: only at the end of each.
        tensorboard: curves for TensorBoard too, in `out/tensorboard`.
        wandb: a project of Weights & Biases that gets the curves too.
    """
    source = None if start is None else open_source(start)
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
    config = replace(config, dropout=dropout, drop_path=drop_path)
    if config.attention in ("joint", "factorised_encoder") and new:
        config = replace(config, pool="mean")
    rules = Start(inflation="average")
    if len(mean) != channels:
        mean, std = new_normalisation(mean, std, channels, rules.channels)
    resize = scaled(size, 8 / 7)  # room for a random crop
    view = View(
        frames=frames,
        stride=stride,
        uniform=stride is None,
        size=size,
        fit="squash" if isinstance(size, tuple) else "shorter_side",
        resize=resize,
        region=region,
        channels=channels,
        mean=mean,
        std=std,
        flip=flip,
        colour=colour,
        rand_augment=rand_augment,
        erase=erase,
    )
    if backbone_lr_scale is None:
        backbone_lr_scale = 0.1 if frozen_epochs else 1.0
    frozen = Frozen(epochs=max(frozen_epochs, 1), draws=frozen_draws, optimizer=Optimizer(lr=frozen_lr))
    return Train(
        data=data,
        model=config,
        view=view,
        out=out,
        start=None if start is None else Pretrained(file=start, rules=rules),
        frozen=frozen if frozen_epochs else None,
        epochs=epochs,
        lora=lora,
        batch_size=batch_size,
        replicas=replicas,
        optimizer=Optimizer(lr=lr, backbone_lr_scale=backbone_lr_scale, sam=sam),
        label_smoothing=label_smoothing,
        mixup=mixup,
        cutmix=cutmix,
        flip_swaps=flip_swaps,
        clips_per_video=clips_per_video,
        ema=ema,
        class_weights=class_weights,
        precision=precision,
        compile=compile,
        sharded=sharded,
        device=device,
        patience=patience,
        keep_decoded=keep_decoded,
        workers=workers,
        seed=seed,
        save_minutes=save_minutes,
        tensorboard=tensorboard,
        wandb=wandb,
    )


def scaled(size: int | tuple[int, int], factor: float) -> int | tuple[int, int]:
    """A size in pixels times a factor."""
    if isinstance(size, int):
        return round(size * factor)
    return round(size[0] * factor), round(size[1] * factor)
