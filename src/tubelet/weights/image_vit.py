"""Image ViTs as the start of a ViViT: their files, read as a ViViT of joint attention over one frame."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights import scenic
from tubelet.weights.files import read_json, read_npz, read_pickle, read_safetensors
from tubelet.weights.huggingface import read_tensors
from tubelet.weights.image_names import HUGGINGFACE, HUGGINGFACE_5, JAX, TIMM, jax_names
from tubelet.weights.image_shape import POSITIONS, Known, build
from tubelet.weights.rename import Rename, Renamed, read
from tubelet.weights.report import Row
from tubelet.weights.scenic_names import current_names
from tubelet.weights.source import SourceModel, kept_or_left
from tubelet.weights.vivit_folder import activation_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

TORCH_FILES = (".safetensors", ".bin", ".pt", ".pth")
HUGGINGFACE_TYPES = ("vit", "deit")

TIMM_KNOWN = Known(
    format="image ViT (timm names)", activation="gelu_erf", mean=IMAGENET_MEAN, std=IMAGENET_STD
)

NO_SUCH_TOKEN = "a ViViT has no distillation token"
LEFT_OUT = (
    ("dist_token", NO_SUCH_TOKEN),
    ("head_dist.", NO_SUCH_TOKEN),
    ("embeddings.distillation_token", NO_SUCH_TOKEN),
    ("distillation_classifier.", NO_SUCH_TOKEN),
    ("embeddings.mask_token", "only its pretraining masks patches"),
    ("pooler.", "no classifier uses it"),
)
"""What is no part of the classifier, by the beginning of its name."""


def holds_image_vit(path: Path) -> bool:
    """Whether a file or folder can only hold an image ViT. Of a Scenic checkpoint its tensors tell."""
    if path.is_dir():
        config = path / "config.json"
        theirs = read_json(config) if config.is_file() else {}
        return theirs.get("model_type") in HUGGINGFACE_TYPES or is_timm(theirs)
    return path.suffix in (*TORCH_FILES, ".npz")


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one that timm writes beside a ViT or DeiT."""
    return str(config.get("architecture")).startswith(("vit_", "deit_"))


def read_image_vit(path: Path) -> SourceModel:
    """An image ViT from a file or folder.

    Known: timm's, DeiT's and DINO's names, and those of Hugging Face's ViT and DeiT, in a safetensors or PyTorch
    file; a folder of Hugging Face's ViT or DeiT, or of timm's; an `.npz` of `vision_transformer` (AugReg) or
    big_vision; a Scenic checkpoint.

    Raises:
        WeightsError: if it cannot be read, or holds tensors that belong to no image ViT, or not all that do; lists
            all of them.
    """
    if path.is_dir():
        theirs = read_json(path / "config.json")
        try:
            return read_timm(path, theirs) if is_timm(theirs) else read_huggingface(path, theirs)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise WeightsError(f"{path}: a config there makes no sense: {error!r}.") from error
    if path.suffix == ".npz":
        return from_jax(read_npz(path), str(path), "image ViT (JAX archive)")
    if path.suffix in TORCH_FILES:
        return from_torch(
            read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path), str(path)
        )
    parameters, left = scenic.read_parameters(path)
    return from_jax(parameters, str(path), "Scenic ViT", left)


def from_jax(tensors: Mapping[str, Tensor], file: str, name: str, left: tuple[Row, ...] = ()) -> SourceModel:
    """An image ViT of JAX: of Scenic, `vision_transformer` or big_vision. Pixels are in [-1, 1]."""
    prefix = next((p for p in ("opt/target/", "params/") if any(n.startswith(p) for n in tensors)), "")
    left += tuple(
        Row("left out", n, "", tuple(t.shape), "state of its training")
        for n, t in tensors.items()
        if not n.startswith(prefix)
    )
    plain = {jax_names(n.removeprefix(prefix)): t for n, t in tensors.items() if n.startswith(prefix)}
    plain = current_names(plain)
    renamed, unknown = read(plain, JAX)
    query = plain.get("Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel")
    heads = query.shape[1] if query is not None and query.ndim == 3 else None
    known = Known(format=name, activation="gelu_tanh", mean=HALF, std=HALF, heads=heads)
    return build(renamed, unknown, file, known, left)


def from_torch(tensors: Mapping[str, Tensor], file: str) -> SourceModel:
    """An image ViT from a state dict: the names tell whose it is.

    Raises:
        WeightsError: if it is none; or is a video model's, of which only its folder tells the architecture.
    """
    for name, tensor in tensors.items():
        if tensor.ndim == 5:
            raise WeightsError(
                f"{file} is of a video model, as its {name} {list(tensor.shape)} says: give the folder that it "
                "lies in, with the config.json that says of which."
            )
    tensors, left = unwrap(tensors)
    if "patch_embed.proj.weight" in tensors:
        return from_names(tensors, TIMM, file, TIMM_KNOWN, left)
    distilled = any("distillation_token" in name for name in tensors)
    known = Known(
        format="image ViT (Hugging Face names)",
        activation="gelu_erf",
        norm_eps=1e-12,
        mean=IMAGENET_MEAN if distilled else HALF,
        std=IMAGENET_STD if distilled else HALF,
        assumed={
            "activation, norm_eps": "gelu_erf, 1e-12, as usual for Hugging Face's; its config.json says"
        },
    )
    return from_names(tensors, huggingface_table(tensors), file, known, left)


def unwrap(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[Row, ...]]:
    """State dicts without the prefixes of wrappers: of parallel training, of DINO, of Hugging Face's classifiers."""
    names = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if any(name.startswith("backbone.") for name in names):
        names, left = kept_or_left(names, [("head.", "the head of self-supervised training")])
        return {name.removeprefix("backbone."): tensor for name, tensor in names.items()}, left
    for prefix in ("vit.", "deit."):
        names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
    return names, ()


def huggingface_table(tensors: Iterable[str]) -> list[Rename]:
    """The names of transformers 5, where these are such, or the older ones, which its folders keep."""
    return HUGGINGFACE_5 if any(name.startswith("layers.") for name in tensors) else HUGGINGFACE


def read_timm(folder: Path, theirs: Mapping[str, Any]) -> SourceModel:
    """The ViT of a folder of timm's, whose config says the values that it wants of pixels."""
    values: Mapping[str, Any] = theirs.get("pretrained_cfg", {})
    tensors, left = unwrap(read_tensors(folder))
    found = from_names(tensors, TIMM, str(folder), TIMM_KNOWN, left)
    if not {"mean", "std"} <= set(values):
        return found
    view = replace(found.view, mean=tuple(values["mean"]), std=tuple(values["std"]))
    return replace(found, view=view, assumed={n: why for n, why in found.assumed.items() if n != "mean, std"})


def read_huggingface(folder: Path, theirs: Mapping[str, Any]) -> SourceModel:
    """The ViT or DeiT of a Hugging Face folder, with what its configs say of heads, norm, activation and values.

    Raises:
        WeightsError: if it is no such folder, or asks for what an image ViT here does not have.
    """
    kind = theirs.get("model_type")
    if kind not in HUGGINGFACE_TYPES:
        raise WeightsError(f"{folder / 'config.json'} is for a {kind!r} model, not for a 'vit' or 'deit'.")
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if kind == "deit" else (HALF, HALF)
    assumed: dict[str, str] = {}
    processor = folder / "preprocessor_config.json"
    if processor.is_file():
        values = read_json(processor)
        mean, std = tuple(values.get("image_mean", mean)), tuple(values.get("image_std", std))
    else:
        assumed["mean, std"] = f"{mean}, {std}, as usual for a {kind}; there is no preprocessor_config.json"
    sizes = [theirs.get("image_size", 224), theirs.get("patch_size", 16)]
    (height, width), (rows, columns) = ((s, s) if isinstance(s, int) else (s[0], s[1]) for s in sizes)
    labels: dict[str, str] = theirs.get("id2label") or {}
    names = tuple(labels[key] for key in sorted(labels, key=int))
    known = Known(
        format=f"Hugging Face {kind}",
        activation=activation_of(theirs, "gelu"),
        norm_eps=theirs.get("layer_norm_eps", 1e-12),
        mean=mean,
        std=std,
        heads=theirs.get("num_attention_heads", 12),
        patches=(height // rows, width // columns),
        classes=None if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names,
        assumed=assumed,
    )
    tensors, left = unwrap(read_tensors(folder))
    return from_names(tensors, huggingface_table(tensors), str(folder), known, left)


def from_names(
    tensors: Mapping[str, Tensor], table: list[Rename], file: str, known: Known, left: tuple[Row, ...]
) -> SourceModel:
    """An image ViT from a state dict without wrappers, by a table of names."""
    distilled = any("dist_token" in name or "distillation_token" in name for name in tensors)
    kept, more = kept_or_left(tensors, LEFT_OUT)
    kept = {name.replace("cls_classifier.", "classifier."): tensor for name, tensor in kept.items()}
    renamed, unknown = read(split_qkv(kept), table)
    split: dict[str, str] = {}
    whole: list[Renamed] = []
    for row in renamed:
        joint = re.sub(r"\.attn\.(query|key|value)\.", ".attn.qkv.", row.theirs)
        if joint in kept and joint != row.theirs:
            split[row.ours] = f"{row.ours.split('.')[-2]} of {list(kept[joint].shape)}"
        whole.append(replace(row, theirs=joint if joint in kept else row.theirs))
    if distilled:
        where = next((i for i, r in enumerate(whole) if r.ours == POSITIONS and r.tensor.ndim == 3), None)
        if where is not None:
            table_rows = whole[where].tensor
            whole[where] = replace(
                whole[where], tensor=torch.cat((table_rows[:, :1], table_rows[:, 2:]), dim=1)
            )
            split[POSITIONS] = f"all of {list(table_rows.shape)} but the distillation token's"
    return build(whole, unknown, file, known, (*left, *more), split)


def split_qkv(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`attn.qkv` as `attn.query`, `attn.key` and `attn.value`."""
    split: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".attn.qkv." in name and tensor.ndim and tensor.shape[0] % 3 == 0:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                split[name.replace(".qkv.", f".{part}.")] = piece
        else:
            split[name] = tensor
    return split


def join_qkv(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `split_qkv`."""
    joint: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".attn.query." in name:
            parts = (tensors[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value"))
            joint[name.replace(".query.", ".qkv.")] = torch.cat(tuple(parts))
        elif ".attn.key." not in name and ".attn.value." not in name:
            joint[name] = tensor
    return joint
