"""ViViT checkpoints of Scenic, the official JAX code: flax msgpack files."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.files import flatten, read_msgpack
from tubelet.weights.releases import Release
from tubelet.weights.rename import read
from tubelet.weights.report import LoadReport, Row, check_plausible, load_strictly
from tubelet.weights.safety import check_tensors
from tubelet.weights.scenic_names import CLASS_TOKENS, ENCODERS, current_names, table


def read_parameters(path: Path) -> tuple[dict[str, Tensor], tuple[Row, ...]]:
    """The parameters of a checkpoint under their current names, and rows that report what else it holds.

    Known: the released form (`optimizer/target`), with the names of before Linen too, the newer train state
    (`params`), and a bare tree of parameters.

    Raises:
        WeightsError: if the file is no flax msgpack, or holds no ViViT or ViT.
    """
    whole: Any = read_msgpack(path)
    tree, prefix = whole, ""
    for key in ("optimizer", "target", "params"):
        if isinstance(tree.get(key), dict):
            tree, prefix = tree[key], f"{prefix}{key}/"
    parameters = current_names(flatten(tree))
    left = tuple(
        Row("left out", name, "", tuple(tensor.shape), "state of its training")
        for name, tensor in flatten(whole).items()
        if not name.startswith(prefix)
    )
    if "embedding/kernel" not in parameters:
        raise WeightsError(f"{path} holds no ViViT: there is no tensor embedding/kernel in it.")
    if parameters["embedding/kernel"].ndim not in (4, 5):
        shape = list(parameters["embedding/kernel"].shape)
        raise WeightsError(
            f"{path} holds no ViViT: embedding/kernel {shape} is neither a 2D nor a 3D kernel."
        )
    try:
        check_tensors(parameters, path.stat().st_size)
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read as a flax msgpack checkpoint: {error}.") from error
    return parameters, left


def is_image_vit(parameters: Mapping[str, Tensor]) -> bool:
    """Whether the tokens come from single frames: an image ViT, or a ViViT by uniform frame sampling."""
    return parameters["embedding/kernel"].ndim == 4


def is_factorised_attention(parameters: Mapping[str, Tensor]) -> bool:
    """Whether the blocks are those of Model 3."""
    return any("/MultiHeadDotProductAttention_time/" in name for name in parameters)


def depth(parameters: Mapping[str, Tensor], encoder: str) -> int:
    """Number of blocks of an encoder."""
    numbers = {m.group(1) for name in parameters if (m := re.match(rf"{encoder}/encoderblock_(\d+)/", name))}
    return len(numbers)


def needed_tensors(
    parameters: Mapping[str, Tensor], file: str, main: str, attention: str, mlp: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query kernel, first kernel of the MLP, positions and bias of the head: what most of a config is read from.

    Raises:
        WeightsError: naming those that are missing or have another number of axes.
    """
    names = {
        f"{main}/encoderblock_0/{attention}/query/kernel": 3,
        f"{main}/encoderblock_0/{mlp}/Dense_0/kernel": 2,
        f"{main}/posembed_input/pos_embedding": 3,
        "output_projection/bias": 1,
    }
    missing = [name for name in names if name not in parameters]
    if missing:
        raise WeightsError(f"{file} holds no whole ViViT: there is no tensor {', '.join(missing)} in it.")
    wrong = [f"{n} {list(parameters[n].shape)}" for n, axes in names.items() if parameters[n].ndim != axes]
    if wrong:
        raise WeightsError(f"{file} holds no ViViT: no model has tensors like {', '.join(wrong)}.")
    query, fc1, positions, head = (parameters[name] for name in names)
    return query, fc1, positions, head


def infer_config(
    parameters: Mapping[str, Tensor], file: str, classes: tuple[int, ...] | None = None
) -> tuple[ViViTConfig, dict[str, str]]:
    """The architecture behind the tensors, and what they do not fix, with the value assumed.

    Args:
        parameters: by their current names.
        file: for messages.
        classes: number of classes of each head, where somebody knows them.

    Raises:
        WeightsError: if the tensors are those of no ViViT; or if the number of positions fits no square grid over 32
            frames: give a config then.
    """
    kernel = parameters["embedding/kernel"]
    encoders = {
        name for name, _ in ENCODERS if f"{name}/encoderblock_0/MlpBlock_0/Dense_0/kernel" in parameters
    }
    factorised_encoder = "SpatialTransformer" in encoders
    factorised_attention = is_factorised_attention(parameters)
    main = "SpatialTransformer" if factorised_encoder else "Transformer"
    attention = "MultiHeadDotProductAttention_" + ("time" if factorised_attention else "0")
    mlp = "MlpBlock" if factorised_attention else "MlpBlock_0"
    query, fc1, positions, head = needed_tensors(parameters, file, main, attention, mlp)
    class_token = CLASS_TOKENS[dict(ENCODERS)[main]] in parameters
    assumed: dict[str, str] = {}
    fields: dict[str, Any] = {
        "channels": kernel.shape[-2],
        "tubelet": (1, *kernel.shape[:2]) if kernel.ndim == 4 else tuple(kernel.shape[:3]),
        "width": kernel.shape[-1],
        "depth": depth(parameters, main),
        "heads": query.shape[1],
        "hidden": fc1.shape[1],
        "classes": classes or (head.shape[0],),
        "final_norm": f"{main}/encoder_norm/scale" in parameters,
        "representation": parameters["pre_logits/bias"].numel() if "pre_logits/bias" in parameters else None,
    }
    if query.shape[1] * query.shape[2] != query.shape[0]:
        fields["head_dim"] = query.shape[2]
    if classes is None:
        assumed["classes"] = (
            f"one head of {head.shape[0]}; several heads and multi-label look the same in a file"
        )
    fields["pool"] = "class" if class_token else "mean"
    if not class_token:
        assumed["pool"] = "mean; max, sum and first token need the same tensors"
    steps = None
    if factorised_encoder:
        fields |= {
            "attention": "factorised_encoder",
            "temporal_depth": depth(parameters, "TemporalTransformer"),
        }
        if fields["temporal_depth"]:
            temporal = needed_tensors(parameters, file, "TemporalTransformer", attention, mlp)
            fields["temporal_heads"], fields["temporal_hidden"] = temporal[0].shape[1], temporal[1].shape[1]
            steps = temporal[2].shape[1] - class_token
    elif factorised_attention:
        fields |= {"attention": "factorised_self_attention", "order": "time_space"}
        assumed["order"] = "time_space, as released; space_time needs the same tensors"
    elif not class_token:
        assumed["attention"] = "joint; factorised_dot_product (Model 4) needs the same tensors"
    grid, remarks = infer_grid(positions.shape[1] - class_token, steps, fields, factorised_encoder, file)
    try:
        config = ViViTConfig(**fields | grid)
    except ConfigError as error:
        raise WeightsError(f"{file} holds tensors of no ViViT: {error}") from error
    check_plausible(config, len(parameters), file)
    return config, assumed | remarks


def infer_grid(
    tokens: int, known_steps: int | None, fields: dict[str, Any], per_frame: bool, file: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Frames and size behind a number of positions: square, and 32 frames unless the steps of time are known."""
    assumed: dict[str, str] = {}
    t, h, w = fields["tubelet"]
    steps = 32 // t if known_steps is None else known_steps
    if known_steps is None:
        assumed["frames"] = f"{steps * t}; give a config if the model was trained with another number"
    side = math.isqrt(max(tokens if per_frame else tokens // max(steps, 1), 0))
    if side * side * (1 if per_frame else steps) != tokens or tokens < 1 or steps < 1:
        what = "positions of a frame" if per_frame else f"positions over {steps} steps of time"
        raise WeightsError(
            f"{file}: {tokens} {what} are no square grid: give a config with the frames and the size."
        )
    assumed["size"] = f"({side * h}, {side * w}); other shapes of frame have as many tokens"
    grid: dict[str, Any] = {"frames": steps * t, "size": (side * h, side * w)}
    if t == 1:
        assumed["sampled_frames"] = (
            f"none: all of {steps} frames; say which clip length they are sampled from"
        )
    return grid, assumed


def load_scenic(path: Path, config: ViViTConfig | None = None) -> tuple[ViViT, LoadReport]:
    """A ViViT from a Scenic checkpoint.

    Args:
        path: the `checkpoint` file.
        config: the architecture; None reads it from the tensors, and lists in the report what they do not fix.

    Raises:
        WeightsError: if the file cannot be read, or does not fit; lists every tensor concerned.
    """
    parameters, left = read_parameters(path)
    return build_scenic(parameters, str(path), config, left=left)


def build_scenic(
    parameters: Mapping[str, Tensor],
    file: str,
    config: ViViTConfig | None = None,
    classes: tuple[int, ...] | None = None,
    left: tuple[Row, ...] = (),
) -> tuple[ViViT, LoadReport]:
    """Like `load_scenic`, from what `read_parameters` has read.

    `file` is their name in messages, `classes` the number of classes of each head where only these are known.
    """
    assumed: dict[str, str] = {}
    if config is None:
        config, assumed = infer_config(parameters, file, classes)
    names = table(is_image_vit(parameters), is_factorised_attention(parameters))
    renamed, unknown = read(parameters, names)
    model = ViViT.hollow(config)
    load_strictly(model, {r.ours: r.tensor.float() for r in renamed}, file, unknown)
    rows = tuple(Row("taken", r.theirs, r.ours, tuple(r.tensor.shape)) for r in renamed)
    return model.eval(), LoadReport(file, "Scenic ViViT", (*rows, *left), assumed)


def build_release(
    parameters: Mapping[str, Tensor], file: str, named: Release, left: tuple[Row, ...] = ()
) -> tuple[ViViT, LoadReport]:
    """The model of a release of the model zoo, as deep in time as the file says.

    Raises:
        WeightsError: if the file is not of this release; lists every tensor concerned.
    """
    model, report = build_scenic(parameters, file, release_config(parameters, named), left=left)
    return model, replace(report, format=f"Scenic ViViT, {named.name}")


def release_config(parameters: Mapping[str, Tensor], named: Release) -> ViViTConfig:
    """The architecture of a release, as deep in time as a file that may be of it."""
    found = depth(parameters, "TemporalTransformer")
    return replace(named.config, temporal_depth=found) if found in named.temporal_depths else named.config
