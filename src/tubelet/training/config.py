"""`Train`: one training run as a value, checked when it is made."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tubelet.data.source import Source
from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.training.optimizer import Optimizer
from tubelet.video.view import View
from tubelet.weights.start import Start

KIND = "kind of source"
"""Beside the fields of a source in `Train.to_dict`: which class it is."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """An image ViT or another ViViT to start from."""

    file: Path
    """Its weights: whatever `tubelet.start_from` takes."""
    rules: Start = field(default_factory=Start)
    """How it becomes the model."""


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A first stage for Model 2: only the temporal encoder and the head learn, on stored frame vectors.

    The spatial encoder sees every clip `draws` times, and its frame vectors are kept; an epoch over them then
    takes seconds. `calibrate` first sets the scale and offset of the spatial encoder's last norm so that the
    frame vectors of the training clips have zero mean and unit deviation in every feature. Without it most of
    a vector says what all frames have in common (measured on lip reading: see docs/results.md).
    """

    epochs: int = 30
    """Passes over the stored vectors."""
    draws: int = 4
    """Random views of each training clip that are stored; an epoch uses one of them for each clip."""
    calibrate: bool = True
    """Standardise the frame vectors over the training clips, by the last norm's own parameters."""
    sine_positions: bool = True
    """Start the temporal positions as sines of the same size as calibrated vectors. A new model's positions are
    N(0, 0.02): beside calibrated vectors they are too small to tell the order of the frames, and it takes long
    until they have grown. They are learned all the same."""
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=1e-3))
    """Of this stage."""
    batch_size: int = 32
    """Clips at a time, of this stage."""
    mixup: float | None = None
    """Mix the vectors of each batch with themselves in reverse order, by one share drawn from Beta(mixup, mixup):
    against learning the stored views by heart. None: off."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_counts(epochs=self.epochs, draws=self.draws, batch_size=self.batch_size)
        if self.mixup is not None and not 0 < self.mixup < math.inf:
            raise ConfigError(f"frozen.mixup={self.mixup} is not above 0; None is off.")


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A stage before the main one in which the last blocks of the backbone learn, with all above them.

    What came from the start is moved only after what is new has learned to use it. With 0 blocks only the head (and
    Model 2's temporal encoder) learns, which is a frozen stage for the models that `Frozen` is not for.
    """

    blocks: int = 2
    """How many of the backbone's last blocks learn."""
    epochs: int = 5
    """Passes over the clips."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Of this stage."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_counts(epochs=self.epochs)


@dataclass(frozen=True, kw_only=True)
class Train:
    """A training run: data, model, view, and how the model learns.

    The number of classes is the data's; `model.classes` is not looked at.

    Raises:
        ConfigError: where fields make no sense, alone or together.
    """

    data: Source
    """Labelled clips with the splits `train` and `val`."""
    model: ViViTConfig
    """The architecture."""
    view: View
    """How the model looks at a clip."""
    out: Path
    """Where the run is kept: an empty or new folder, or one of this same run, which is then resumed."""
    init: Pretrained | None = None
    """What to start from; None: from scratch."""
    frozen: Frozen | None = None
    """A first stage with the spatial encoder frozen (Model 2 only)."""
    partial: Partial | None = None
    """A stage on videos before the main one, in which a part of the model learns."""
    epochs: int = 30
    """Passes over the clips with the whole model learning; 0 only after another stage."""
    batch_size: int = 16
    """Clips of a step."""
    replicas: int = 1
    """On videos: replica groups of a step, `batch_size / replicas` clips each. What is random is drawn for each
    group, mixup stays inside a group, and clipping may; a group is computed at once, so more of them need less
    memory. Part of the recipe, and not the number of processes: any that divides it gives the same training."""
    trainable_blocks: int | None = None
    """Main stage: how many of the backbone's last blocks learn, with all above; None: everything."""
    lora: int | None = None
    """Rank of adapters beside query and value of every block: only these and the head learn, and the saved model has
    them merged (see `tubelet.lora`). None: no adapters. They want a higher rate than a whole model, such as 1e-3."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Of the main stage."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes of a head."""
    mixup: float | None = None
    """On videos: mix each group with itself in reverse order, by one share drawn from Beta(mixup, mixup). The
    paper's is 0.1 for EPIC-Kitchens, 0.3 for Something-Something; None: off."""
    cutmix: float | None = None
    """On videos: put one rectangle of each group's clips, in reverse order, into the others; its area is drawn from
    Beta(cutmix, cutmix). With `mixup` too, a coin decides for each group. Not in the paper; None: off."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: every class weighs the same in the loss, however rare it is."""
    clips_per_video: int = 1
    """Clips that are drawn from a video each time it is decoded (repeated augmentation). They stand in
    one step, and an epoch has as many times more steps. Not in the paper."""
    flip_swaps: tuple[tuple[str, str], ...] = ()
    """Pairs of classes that a mirror image exchanges, such as (("pushing left", "pushing right"),): a clip that
    `view.flip` has mirrored gets the other label. Not in the paper, whose recipes flip without it."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, such as 0.9999: what is validated and kept is the
    average. Not in the paper; None: off."""
    patience: int | None = None
    """Stop a stage after this many epochs without a better validation accuracy; None: never."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """`bf16`: matrix products in bfloat16 (autocast); `fp16`: in float16, with the loss scaled, for older GPUs."""
    compile: bool = False
    """On videos: compile the model (`torch.compile`): a slow start, then faster steps."""
    sharded: bool = False
    """On videos, with several processes: each holds a part of every tensor (FSDP2), for models that are too large
    for one GPU. False: each holds them all."""
    checkpoint_activations: bool = False
    """Compute each block again in the backward pass: less memory, more time."""
    device: str = "auto"
    """`auto`: a GPU where there is one."""
    workers: int = 2
    """Processes that decode; 0: the main one."""
    keep_decoded: bool = False
    """Keep decoded clips in memory: their frames as they are, in each worker. `tubelet doctor` says how much."""
    seed: int = 0
    """Of weights, order, views and dropout."""
    save_minutes: float | None = 10.0
    """Save a checkpoint inside an epoch after so many minutes; None: not by the clock. One is saved at the end of
    each epoch anyway."""
    save_steps: int | None = None
    """Save a checkpoint inside an epoch after so many steps; None: not by their number."""
    keep_checkpoints: int = 2
    """How many of the last checkpoints stay."""
    log_steps: int = 20
    """A line in the log after so many steps, with the mean loss since the last one."""
    tensorboard: bool = False
    """Curves for TensorBoard too, in `out/tensorboard`; wants the extra `tensorboard`."""
    wandb: str | None = None
    """A project of Weights & Biases that gets the curves too; wants the extra `wandb`. None: none."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "out", Path(self.out))
        check_counts(batch_size=self.batch_size)
        if self.epochs < (self.frozen is None and self.partial is None):
            raise ConfigError(f"epochs={self.epochs}: nothing would be learned.")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing={self.label_smoothing} is a share, in [0, 1).")
        self._check_blocks()
        if self.lora is not None:
            check_counts(lora=self.lora)
            others = (self.frozen, self.partial, self.trainable_blocks)
            if self.init is None or others != (None, None, None):
                raise ConfigError(
                    "lora freezes what the model starts from: give init, and neither a frozen nor a partial stage "
                    "nor trainable_blocks."
                )
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"patience={self.patience} is below 1; None never stops early.")
        check_counts(keep_checkpoints=self.keep_checkpoints, log_steps=self.log_steps)
        if self.save_steps is not None:
            check_counts(save_steps=self.save_steps)
        if self.save_minutes is not None and not self.save_minutes > 0:
            raise ConfigError(
                f"save_minutes={self.save_minutes} is not above 0; None saves by the clock never."
            )
        apart = self.optimizer.sam is not None or self.optimizer.clip == "per_replica"
        if apart and (self.sharded or self.precision == "fp16"):
            raise ConfigError(
                "sam and clip='per_replica' look at the gradient of each replica group by itself: neither with "
                "sharded=True nor with precision='fp16'."
            )
        if self.sharded and self.partial is not None:
            raise ConfigError(
                "partial is not for sharded=True: FSDP2 does not follow what learns from one stage to the next."
            )
        if self.workers < 0:
            raise ConfigError(f"workers={self.workers} is below 0.")
        if self.model.frames != self.view.frames:
            raise ConfigError(
                f"The model takes clips of {self.model.frames} frames and the view shows {self.view.frames}."
            )
        if self.frozen is not None and self.model.attention != "factorised_encoder":
            raise ConfigError("The frozen stage keeps the frame vectors of Model 2: factorised_encoder only.")
        if self.frozen is not None and self.model.pool == "max" and self.frozen.calibrate:
            raise ConfigError("calibrate moves the vectors after the pooling: pool='max' does not allow it.")
        sines = self.frozen is not None and self.frozen.sine_positions
        if sines and (self.model.positions != "learned" or self.model.temporal_depth == 0):
            raise ConfigError(
                "sine_positions is for learned positions of a temporal encoder, of which there are none."
            )
        if self.init is None and self.optimizer.layer_decay != 1:
            raise ConfigError("layer_decay is for what came from init, and there is none.")
        self._check_regularisation()

    def _check_blocks(self) -> None:
        for name, blocks in (
            ("trainable_blocks", self.trainable_blocks),
            ("partial.blocks", None if self.partial is None else self.partial.blocks),
        ):
            if blocks is not None and not 0 <= blocks <= self.model.depth:
                raise ConfigError(
                    f"{name}={blocks} of a model of {self.model.depth} blocks: give 0 to {self.model.depth}, or None "
                    "for the whole model."
                )

    def _check_regularisation(self) -> None:
        check_counts(replicas=self.replicas, clips_per_video=self.clips_per_video)
        for name in ("replicas", "clips_per_video"):
            if self.batch_size % getattr(self, name):
                raise ConfigError(
                    f"batch_size={self.batch_size} is not divided by {name}={getattr(self, name)}."
                )
        if self.batch_size // self.replicas % self.clips_per_video:
            raise ConfigError(
                f"The {self.batch_size // self.replicas} clips of a replica group are not divided by "
                f"clips_per_video={self.clips_per_video}: the clips of a video stand in one group."
            )
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value} is not above 0; None is off.")
            if value is not None and self.batch_size // self.replicas < 2:
                raise ConfigError(
                    f"{name} mixes the clips of a replica group, and batch_size={self.batch_size} with "
                    f"replicas={self.replicas} has one clip in each."
                )
        stray = [name for name in ("mixup", "cutmix") if getattr(self, name) is not None]
        if not self.on_videos and (stray or self.replicas > 1):
            names = ", ".join([*stray, *(["replicas"] if self.replicas > 1 else [])])
            raise ConfigError(f"{names}: of the stages on videos, of which this run has none.")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ConfigError(f"ema={self.ema} is a decay, in [0, 1), such as 0.999.")
        object.__setattr__(self, "flip_swaps", tuple(tuple(pair) for pair in self.flip_swaps))
        names = [name for pair in self.flip_swaps for name in pair]
        if any(len(pair) != 2 for pair in self.flip_swaps) or len(set(names)) != len(names):
            raise ConfigError(
                f"flip_swaps={self.flip_swaps}: give pairs of classes, each class in one pair only."
            )
        if self.flip_swaps and not self.view.flip:
            raise ConfigError("flip_swaps says what a mirror image shows, and view.flip=False makes none.")

    @property
    def on_videos(self) -> int:
        """Epochs of the stages that see videos, not stored vectors."""
        return self.epochs + (0 if self.partial is None else self.partial.epochs)

    @property
    def autocast(self) -> torch.dtype | None:
        """The type of matrix products; None: that of the weights."""
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: enough to tell whether two runs are the same."""
        return {name: plain(value) for name, value in vars(self).items() if name != "out"}


def check_counts(**counts: int) -> None:
    """Refuse counts below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name}={count} is below 1.")


def plain(value: Any) -> Any:
    """A value as JSON knows it: dataclasses by field, paths as text."""
    if hasattr(value, "__dataclass_fields__"):
        fields: dict[str, Any] = value.__dataclass_fields__
        kind = {KIND: f"{type(value).__module__}.{type(value).__name__}"} if hasattr(value, "samples") else {}
        return {**kind, **{name: plain(getattr(value, name)) for name in fields}}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
