"""The architecture of an image ViT, as its tensors tell it: a ViViT of joint attention over one frame."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from tubelet.errors import ConfigError, WeightsError
from tubelet.labels import Labels
from tubelet.models.config import Activation, ViViTConfig
from tubelet.video.view import View
from tubelet.weights.rename import Renamed
from tubelet.weights.report import Row
from tubelet.weights.source import SourceModel

POSITIONS, CLASS_TOKEN = "encoder.positions.table", "encoder.class_token"

AXES = {"embedding.weight": 5, POSITIONS: 3, "encoder.blocks.0.attention.layer.query.weight": 2,
        "encoder.blocks.0.mlp.layer.fc1.weight": 2, "head.weight": 2, "representation.weight": 2}  # fmt: skip
"""The tensors from which the architecture is read, and how many axes they have."""
OPTIONAL = ("head.weight", "representation.weight")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of an image ViT beside its tensors, from its format or its config."""

    format: str
    activation: Activation
    norm_eps: float = 1e-6
    mean: tuple[float, ...]
    std: tuple[float, ...]
    heads: int | None = None
    """None: it is not known; heads of 64 are assumed, as in all ViTs of the usual sizes."""
    patches: tuple[int, int] | None = None
    """Patches along height and width; None: a square of as many as there are positions."""
    classes: tuple[str, ...] | None = None
    assumed: Mapping[str, str] = field(default_factory=dict[str, str])


def build(
    renamed: Iterable[Renamed],
    unknown: Iterable[str],
    file: str,
    known: Known,
    left: tuple[Row, ...],
    split: Mapping[str, str] | None = None,
) -> SourceModel:
    """The image ViT of some tensors.

    Raises:
        WeightsError: if there are unknown tensors, or some are missing; lists all of them.
    """
    tensors = {row.ours: replace(row, tensor=row.tensor.float()) for row in renamed}
    problems = [f"  not understood: {name}" for name in unknown]
    problems += [f"  missing: {name}" for name in AXES if name not in tensors and name not in OPTIONAL]
    problems += [
        f"  {AXES[name]} axes are wanted: {row.theirs} {list(row.tensor.shape)}"
        for name, row in tensors.items()
        if row.tensor.ndim != AXES.get(name, row.tensor.ndim)
    ]
    if problems:
        raise WeightsError("\n".join([f"{file} is no image ViT that is known here:", *problems]))
    split = dict(split or {})
    patches = fit_class_row(tensors, split, known.patches, file)
    config, heads_assumed = config_of(tensors, known, patches, file)
    assumed = dict(known.assumed)
    assumed.setdefault(
        "mean, std", f"{known.mean}, {known.std}, as usual in this format; give another View if they are not"
    )
    if heads_assumed is not None:
        assumed["heads"] = heads_assumed
    mean, std = (
        x if len(x) == config.channels else (sum(x) / len(x),) * config.channels
        for x in (known.mean, known.std)
    )
    try:
        view = View.image(mean, std, frames=1, size=config.size)
    except ConfigError as error:
        raise WeightsError(f"{file}: {error}") from error
    labels = None if known.classes is None or "head.bias" not in tensors else Labels.single(known.classes)
    return SourceModel(
        file=file, format=known.format, config=config, tensors=tuple(tensors.values()), view=view,
        labels=labels, image=True, left=left, split=split, assumed=assumed,
    )  # fmt: skip


def fit_class_row(
    tensors: dict[str, Renamed], split: dict[str, str], patches: tuple[int, int] | None, file: str
) -> tuple[int, int]:
    """Patches along height and width; a table without the class token's row gets one of zeros, in place."""
    table = tensors[POSITIONS]
    count, token = table.tensor.shape[1], CLASS_TOKEN in tensors
    square = math.isqrt(count)
    if token and (square * square == count if patches is None else math.prod(patches) == count):
        zeros = torch.zeros_like(table.tensor[:, :1])
        tensors[POSITIONS] = replace(table, tensor=torch.cat((zeros, table.tensor), dim=1))
        split[POSITIONS] = "with a row of zeros for the class token, which has no position there"
        count += 1
    side = math.isqrt(max(count - token, 0))
    found = patches or (side, side)
    if math.prod(found) != count - token or count == token:
        raise WeightsError(f"{file}: {count - token} positions are no grid of {found[0]}x{found[1]} patches.")
    return found


def config_of(
    tensors: Mapping[str, Renamed], known: Known, patches: tuple[int, int], file: str
) -> tuple[ViViTConfig, str | None]:
    """The image ViT as a ViViT of one frame; and what was assumed of its heads, if anything."""
    width, channels, _, height, breadth = tensors["embedding.weight"].tensor.shape
    query = tensors["encoder.blocks.0.attention.layer.query.weight"].tensor.shape[0]
    heads, assumed = known.heads, None
    if heads is None:
        heads = query // 64 if query % 64 == 0 else 1
        assumed = f"{heads}; the file fits any number: give heads where it is not of the usual {query // heads} each"
    blocks = {m[1] for name in tensors if (m := re.match(r"encoder\.blocks\.(\d+)\.", name))}
    head = tensors.get("head.weight")
    representation = tensors.get("representation.weight")
    fields: dict[str, Any] = {
        "head_dim": None if query == width and width % heads == 0 else query // heads,
        "classes": (len(known.classes) if known.classes and head is None else 1,)
        if head is None
        else (head.tensor.shape[0],),
        "representation": None if representation is None else representation.tensor.shape[0],
    }
    try:
        return ViViTConfig(
            attention="joint", frames=1, tubelet=(1, height, breadth), channels=channels, width=width,
            size=patches[0] * height if height * patches[0] == breadth * patches[1]
            else (patches[0] * height, patches[1] * breadth),
            depth=len(blocks), heads=heads, hidden=tensors["encoder.blocks.0.mlp.layer.fc1.weight"].tensor.shape[0],
            pool="class" if CLASS_TOKEN in tensors else "mean", activation=known.activation,
            norm_eps=known.norm_eps, qkv_bias="encoder.blocks.0.attention.layer.query.bias" in tensors, **fields,
        ), assumed  # fmt: skip
    except ConfigError as error:
        raise WeightsError(f"{file} is no image ViT that is known here: {error}") from error
