"""`Layer`: where in a model features are taken, and how its tokens become them.

Axis letters: B batch, V views, F frames, C channels, T H W the grid of tubelets, N tokens, D width.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from tubelet.classifier import Classifier
from tubelet.engines.model import EngineModel
from tubelet.errors import ConfigError
from tubelet.layers.encoder import Encoder
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT

HEAD = "head"
"""The default layer: the vector that the head sees."""

Pool = Literal["mean", "class", "moments", "none"]
"""What becomes of a layer's tokens: the `mean` of those of the grid; the `class` token (of Model 2's spatial encoder
the mean of the frames'); `moments`, one vector for each tubelet in time, the mean over its places; or `none`: every
token is kept."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Where features are taken.

    Args:
        name: `head`, what the head sees; `encoder`, `spatial` or `temporal`, the tokens that come out of an encoder,
            after its last norm; or `encoder.3`, those behind its third block (`encoder.0`: before the first one).
            Models 1, 3 and 4 have the `encoder`, Model 2 the `spatial` and the `temporal` one.
        pool: what becomes of the tokens; None for `head`, which has none.

    Raises:
        ConfigError: for a name or pool that there is not, in any model.
    """

    name: str = HEAD
    pool: Pool | None = None

    def __post_init__(self) -> None:
        """Refuse what no model has."""
        if not re.fullmatch(r"head|(encoder|spatial|temporal)(\.\d{1,7})?", self.name):
            raise ConfigError(
                f"layer={self.name!r}: say head, encoder, spatial or temporal, or such as encoder.3 for the tokens "
                "behind the third block."
            )
        if self.name == HEAD and self.pool is not None:
            raise ConfigError(
                f"pool={self.pool!r}: what the head sees is one vector already. Name a layer of tokens too, such as "
                "encoder, or spatial and temporal of Model 2."
            )
        if self.name != HEAD and self.pool not in get_args(Pool):
            raise ConfigError(f"pool={self.pool!r} of the layer {self.name}: {', '.join(get_args(Pool))}.")

    @classmethod
    def of(cls, name: str = HEAD, pool: Pool | None = None) -> Self:
        """A layer by its name; tokens become their mean where nothing else is said."""
        return cls(name=name, pool=pool if name == HEAD or pool is not None else "mean")

    @property
    def encoder(self) -> str:
        """`encoder`, `spatial` or `temporal`; `head` of the head."""
        return self.name.partition(".")[0]

    @property
    def blocks(self) -> int | None:
        """How many blocks the tokens have gone through; None: all, and the norm."""
        number = self.name.partition(".")[2]
        return int(number) if number else None

    @property
    def single(self) -> bool:
        """Whether there is one vector for a clip, and so the mean over the views for a video."""
        return self.pool in (None, "mean", "class")

    def check(self, model: ViViT) -> None:
        """Refuse a model that has no such layer.

        Raises:
            ConfigError: saying what it has.
        """
        if isinstance(model, EngineModel):
            model.refuse("answers, and has no features to give")
        if self.name == HEAD:
            return
        there = {name: e for name in ("encoder", "spatial", "temporal") if (e := encoder_of(model, name))}
        found = there.get(self.encoder)
        if found is None or (self.blocks or 0) > len(found.blocks):
            has = ", ".join(f"{name} ({len(e.blocks)} blocks)" for name, e in there.items())
            raise ConfigError(f"The model has no layer {self.name}. It has: {has}.")
        if self.pool == "class" and found.class_token is None:
            raise ConfigError("pool='class': this model has no class token. Take mean, moments or none.")
        if model.fewer_tokens is not None:
            raise ConfigError(
                "This classifier answers from fewer tokens, which have no place of their own: it has features of "
                "the head alone."
            )

    def shape(self, config: ViViTConfig, clip: tuple[int, int, int], views: int) -> tuple[int, ...]:
        """The shape of a video's features.

        `(D,)` where they are one vector; `(V, T, D)` of `moments`; of all tokens `(V, N, D)`, those of Model 2's
        spatial encoder `(V, T, N, D)`, the class token first among the N where there is one.

        Args:
            config: of the model.
            clip: frames, height and width.
            views: V.
        """
        if self.name == HEAD:
            return (config.representation or config.width,)
        if self.single:
            return (config.width,)
        times, rows, columns = config.grid_of(*clip)
        if self.pool == "moments":
            return (views, times, config.width)
        extra = int(config.has_class_token)
        tokens = {
            "encoder": (extra + times * rows * columns,),
            "spatial": (times, extra + rows * columns),
            "temporal": (extra + times,),
        }
        return (views, *tokens[self.encoder], config.width)


def encoder_of(model: ViViT, name: str) -> Encoder | None:
    """`model.encoder`, `model.spatial` or `model.temporal`."""
    return {"encoder": model.encoder, "spatial": model.spatial, "temporal": model.temporal}[name]


@torch.inference_mode()
def video_features(
    classifier: Classifier, layer: Layer, pixels: Tensor, views: int, chunk: int = 8
) -> Tensor:
    """Features of videos.

    Args:
        classifier: whose layer.
        layer: which.
        pixels: uint8 `(B * V, F, C, H, W)`, the views of a video side by side.
        views: V.
        chunk: most views to put through the model at a time.

    Returns:
        float32 `(B, *layer.shape(...))` on the CPU.
    """
    dtype = classifier.model.dtype  # of int8 blocks too the pixels are float32
    parts: list[Tensor] = []
    for part in pixels.split(chunk):
        clips = classifier.view.normalise(part.to(classifier.device)).to(dtype)
        parts.append(clip_features(classifier.model, layer, clips).float().cpu())
    found = torch.cat(parts).unflatten(0, (-1, views))
    return found.mean(dim=1) if layer.single else found


def clip_features(model: ViViT, layer: Layer, clips: Tensor) -> Tensor:
    """Features of each clip `(B, F, C, H, W)`: `(B, D)`, or `(B, ..., D)` where there are several vectors."""
    if layer.name == HEAD:
        return model.features(clips)
    tokens = tokens_of(model, layer, clips)
    if layer.pool == "none":
        return tokens
    encoder = encoder_of(model, layer.encoder)
    assert encoder is not None, "check has seen it"
    extra = int(encoder.class_token is not None)
    if layer.pool == "class":
        first = tokens[..., 0, :]
        return first.mean(dim=1) if first.ndim == 3 else first
    grid = tokens[..., extra:, :]
    if layer.pool == "mean":
        return grid.flatten(1, -2).mean(dim=1)
    times = model.config.grid_of(clips.shape[1], *clips.shape[-2:])[0]
    return grid.flatten(1, -2).unflatten(1, (times, -1)).mean(dim=2)


class Reached(Exception):  # noqa: N818 - no error
    """The pass has come as far as it is wanted: what is behind the layer need not be computed."""


def tokens_of(model: ViViT, layer: Layer, clips: Tensor) -> Tensor:
    """The tokens of a layer: `(B, N, D)`, those of Model 2's spatial encoder `(B, T, N, D)`."""
    encoder = encoder_of(model, layer.encoder)
    assert encoder is not None, "check has seen it"
    found: list[Tensor] = []
    listening = listened(encoder, layer.blocks).register_forward_hook(keep_and_stop(found))
    try:
        model.features(clips, every_token=True)
    except Reached:
        pass
    finally:
        listening.remove()
    split = encoder.split and layer.blocks is not None and layer.blocks > 0  # between blocks: (B, T, S, D)
    return found[0].flatten(1, 2) if split else found[0]


def listened(encoder: Encoder, blocks: int | None) -> nn.Module:
    """The part of an encoder whose output is that of so many blocks; None: of all, normed."""
    if blocks is None:
        return encoder.norm
    return encoder.blocks[blocks - 1] if blocks else encoder.dropout


def keep_and_stop(found: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
    """A hook that keeps what comes out, and ends the pass."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        found.append(output)
        raise Reached

    return hook
