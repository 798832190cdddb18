"""`ViViTConfig`: everything that fixes the architecture of a ViViT, checked when it is made."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from tubelet.errors import ConfigError
from tubelet.layers.block import ACTIVATIONS
from tubelet.layers.embedding import Grid, uniform_frames

AttentionKind = Literal["joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
Pool = Literal["class", "mean", "max", "sum", "first"]
Order = Literal["time_space", "space_time"]
PositionKind = Literal["learned", "sinusoidal_1d", "sinusoidal_3d", "none"]
Activation = Literal["gelu_tanh", "gelu_erf", "relu"]

CHOICES: dict[str, tuple[str, ...]] = {
    "attention": get_args(AttentionKind),
    "pool": get_args(Pool),
    "order": get_args(Order),
    "positions": get_args(PositionKind),
    "activation": tuple(ACTIVATIONS),
    "frame_sampling": ("exact", "official"),
}


LARGEST = 2**20
"""Of every size and count, so that a config that lies is refused before anything of that size is made."""


@dataclass(frozen=True, kw_only=True)
class ViViTConfig:
    """The architecture of a ViViT. The defaults are ViViT-B/16x2, Model 1, for Kinetics-400.

    A field that is None means "the paper's value for this model"; `resolved()` writes these out.

    Raises:
        ConfigError: where fields make no sense, alone or together.
    """

    attention: AttentionKind = "joint"
    """Which of the paper's models: `joint` is Model 1 (spatio-temporal attention), `factorised_encoder`
    Model 2, `factorised_self_attention` Model 3, `factorised_dot_product` Model 4 (sections 3.3)."""
    frames: int = 32
    """Frames of a clip."""
    size: int | tuple[int, int] = 224
    """Pixels of a frame: the side of a square, or (height, width)."""
    channels: int = 3
    """Channels of a frame."""
    tubelet: tuple[int, int, int] = (2, 16, 16)
    """Frames, rows and columns of a tubelet."""
    sampled_frames: int | None = None
    """Uniform frame sampling (section 3.2): embed only this many frames, evenly spread, each by itself.
    The tubelet is then one frame long. None: tubelets of all frames."""
    frame_sampling: Literal["exact", "official"] = "exact"
    """`official` returns one frame too many for some counts, as the official code does (see `uniform_frames`)."""
    width: int = 768
    """Size D of a token."""
    depth: int = 12
    """Number of blocks (of the spatial encoder in Model 2)."""
    heads: int = 12
    """Attention heads."""
    head_dim: int | None = None
    """Size of a head. None: `width` divided by the number of heads of each encoder."""
    hidden: int = 3072
    """Hidden size of the MLPs."""
    temporal_depth: int | None = None
    """Model 2: blocks of the temporal encoder; 0 averages over the frames instead. None: 4."""
    temporal_heads: int | None = None
    """Model 2: attention heads of the temporal encoder. None: `heads`."""
    temporal_hidden: int | None = None
    """Model 2: hidden size of the temporal encoder's MLPs. None: `hidden`."""
    centre_frames: bool = False
    """Model 2: take the mean over time off the frame vectors before the temporal encoder, which then sees what
    changes in the clip and not what is there. Not in the paper."""
    classes: tuple[int, ...] = (400,)
    """Number of classes of each head."""
    pool: Pool | None = None
    """How tokens become one vector: the `class` token, the `mean`, `max` or `sum` of all tokens, or the
    `first` token without a class token. None: as in the paper's table, `class` for Models 1 and 2, `mean`
    for Models 3 and 4, which have no class token."""
    order: Order | None = None
    """Model 3: which attention comes first. None: `time_space`, as released (the paper's text has space first)."""
    positions: PositionKind = "learned"
    """Position embedding."""
    representation: int | None = None
    """Size of a tanh layer before the head, or None for no such layer."""
    final_norm: bool = True
    """Layer norm after the last block."""
    pooled_norm_eps: float | None = None
    """Epsilon of a layer norm of the one vector that the tokens become, or None for no such norm. Models
    fine-tuned from masked autoencoders have it in place of the final norm."""
    activation: Activation = "gelu_tanh"
    """Activation of the MLPs."""
    norm_eps: float = 1e-6
    """Epsilon of the layer norms."""
    qkv_bias: bool = True
    """Whether query, key and value have biases."""
    dropout: float = 0.0
    """Dropout after the positions, in the MLPs and after each branch."""
    attention_dropout: float = 0.0
    """Dropout of attention weights."""
    drop_path: float = 0.0
    """Stochastic depth: probability of dropping a branch of the last block, growing linearly from 0 at the first."""
    drop_path_rescale: bool = False
    """Scale kept branches by 1 / (1 - rate). The official code, and so the paper's rates, do not."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "tubelet", tuple(self.tubelet))
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", tuple(self.size))
        check_fields(self)
        check_together(self)

    @property
    def pixels(self) -> tuple[int, int]:
        """(height, width) of a frame."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def has_class_token(self) -> bool:
        """Whether the encoders start with a class token."""
        token_models = ("joint", "factorised_encoder")
        return self.pool == "class" or (self.pool is None and self.attention in token_models)

    @property
    def grid(self) -> Grid:
        """Number of tubelets along time, height and width at the config's own frames and size."""
        return self.grid_of(self.frames, *self.pixels)

    def grid_of(self, frames: int, height: int, width: int) -> Grid:
        """Number of tubelets along time, height and width of a clip.

        Raises:
            ConfigError: if the tubelet does not divide the clip.
        """
        t, h, w = self.tubelet
        if self.sampled_frames is not None:
            if frames < self.sampled_frames:
                raise ConfigError(f"{self.sampled_frames} frames cannot be sampled from a clip of {frames}.")
            frames = len(uniform_frames(frames, self.sampled_frames, self.frame_sampling == "official"))
        if frames == 0 or frames % t or height % h or width % w or not height or not width:
            raise ConfigError(
                f"A clip of {frames} frames of {height}x{width} pixels is not a whole number of tubelets of "
                f"{t} frames of {h}x{w}: give a multiple of {t} frames and of {h}x{w} pixels."
            )
        return frames // t, height // h, width // w

    def resolved(self) -> Self:
        """The same config with every None that stands for the paper's value written out."""
        values: dict[str, Any] = {
            "pool": self.pool or ("class" if self.has_class_token else "mean"),
        }
        if self.attention == "factorised_encoder":
            values["temporal_depth"] = 4 if self.temporal_depth is None else self.temporal_depth
            values["temporal_heads"] = self.temporal_heads or self.heads
            values["temporal_hidden"] = self.temporal_hidden or self.hidden
        if self.attention == "factorised_self_attention":
            values["order"] = self.order or "time_space"
        return replace(self, **values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; every None of the paper's values written out."""
        full = self.resolved()
        values = {f.name: getattr(full, f.name) for f in fields(full)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: for fields that do not exist, and whatever the config itself refuses.
        """
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ConfigError(f"ViViTConfig has no field {', '.join(unknown)}.")
        tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**tuples)


def check_fields(config: ViViTConfig) -> None:
    """Refuse fields that make no sense alone."""
    for name, allowed in CHOICES.items():
        value = getattr(config, name)
        if value not in allowed and not (value is None and name in ("pool", "order")):
            raise ConfigError(f"{name}={value!r} is not one of {', '.join(allowed)}.")
    positive = ["frames", "channels", "width", "depth", "heads", "hidden"]
    optional = ["sampled_frames", "head_dim", "temporal_heads", "temporal_hidden", "representation"]
    numbers = {n: getattr(config, n) for n in positive}
    numbers |= {n: v for n in optional if (v := getattr(config, n)) is not None}
    numbers |= {f"size[{i}]": v for i, v in enumerate(config.pixels)}
    numbers |= {f"tubelet[{i}]": v for i, v in enumerate(config.tubelet)}
    numbers |= {f"classes[{i}]": v for i, v in enumerate(config.classes)}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
            raise ConfigError(f"{name}={value!r} is not a whole number from 1 to {LARGEST:,}.")
    if len(config.tubelet) != 3:
        raise ConfigError(f"tubelet={config.tubelet} is not three numbers: frames, rows, columns.")
    if len(config.pixels) != 2:
        raise ConfigError(f"size={config.size} is neither one number nor (height, width).")
    if not config.classes:
        raise ConfigError("classes=() leaves nothing to predict: give the number of classes of each head.")
    for name in ("dropout", "attention_dropout", "drop_path"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name}={getattr(config, name)} is not a probability in [0, 1).")
    for name in ("norm_eps", "pooled_norm_eps"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ConfigError(f"{name}={value} is not above 0.")


def check_together(config: ViViTConfig) -> None:
    """Refuse fields that make no sense together."""
    factorised_encoder = config.attention == "factorised_encoder"
    for name in ("temporal_depth", "temporal_heads", "temporal_hidden"):
        if getattr(config, name) is not None and not factorised_encoder:
            raise ConfigError(f"{name} belongs to the factorised encoder; attention is {config.attention!r}.")
    temporal = config.temporal_depth
    if temporal is not None and (not isinstance(temporal, int) or not 0 <= temporal <= LARGEST):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"temporal_depth={temporal!r} is below 0, above {LARGEST:,} or no whole number.")
    if config.centre_frames and (not factorised_encoder or config.temporal_depth == 0):
        raise ConfigError(
            "centre_frames is for Model 2 with a temporal encoder: attention='factorised_encoder'."
        )
    if config.order is not None and config.attention != "factorised_self_attention":
        raise ConfigError(f"order belongs to factorised self-attention; attention is {config.attention!r}.")
    if config.pool == "class" and config.attention.startswith("factorised_") and not factorised_encoder:
        raise ConfigError(
            "Models 3 and 4 have no class token (paper section 3.3): a token of no time and place cannot be "
            "factorised. Use pool='mean', 'max', 'sum' or 'first'."
        )
    if config.sampled_frames is not None and config.tubelet[0] != 1:
        raise ConfigError(
            "Uniform frame sampling embeds single frames: the tubelet must be (1, rows, columns)."
        )
    if config.sampled_frames is None and config.frame_sampling != "exact":
        raise ConfigError("frame_sampling='official' has no effect without sampled_frames.")
    heads = {"heads": (config.heads, config.head_dim)}
    if factorised_encoder and config.temporal_depth != 0:
        heads["temporal_heads"] = (config.temporal_heads or config.heads, config.head_dim)
    for name, (count, size) in heads.items():
        if size is None and config.width % count:
            raise ConfigError(f"width={config.width} is not divided by {name}={count}: give head_dim too.")
    if config.attention == "factorised_dot_product" and config.heads % 2:
        raise ConfigError(
            f"Model 4 gives half of its heads to time and half to space: heads={config.heads} is odd."
        )
    if config.positions == "sinusoidal_1d" and config.width % 2:
        raise ConfigError(f"sinusoidal_1d needs an even width, not {config.width}.")
    if config.positions == "sinusoidal_3d":
        if config.width % 6:
            raise ConfigError(f"sinusoidal_3d needs a width that 6 divides, not {config.width}.")
        if config.has_class_token or factorised_encoder:
            raise ConfigError("sinusoidal_3d gives each token a time and a place: a class token has none.")
    if config.drop_path_rescale and config.drop_path == 0:
        raise ConfigError("drop_path_rescale has no effect while drop_path is 0.")
    _ = config.grid  # refuses a size that the tubelet does not divide
