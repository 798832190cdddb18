"""Image ViTs as the start of a ViViT: their files under the names of a one-frame ViViT of joint attention."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights import scenic
from tubelet.weights.files import read_pickle, read_safetensors
from tubelet.weights.rename import FRAME, Rename, Renamed, read

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TIMM: list[Rename] = [
    Rename("cls_token", "encoder.class_token"),
    Rename("pos_embed", "encoder.positions.table"),
    Rename("patch_embed.proj.weight", "embedding.weight", FRAME),
    Rename("patch_embed.proj.bias", "embedding.bias"),
    Rename("norm.weight", "encoder.norm.weight"),
    Rename("norm.bias", "encoder.norm.bias"),
    Rename("head.weight", "head.weight"),
    Rename("head.bias", "head.bias"),
    *(
        Rename(f"blocks.{{i}}.{theirs}.{kind}", f"encoder.blocks.{{i}}.{ours}.{kind}")
        for theirs, ours in (
            ("norm1", "attention.norm"),
            ("attn.query", "attention.layer.query"),
            ("attn.key", "attention.layer.key"),
            ("attn.value", "attention.layer.value"),
            ("attn.proj", "attention.layer.out"),
            ("norm2", "mlp.norm"),
            ("mlp.fc1", "mlp.layer.fc1"),
            ("mlp.fc2", "mlp.layer.fc2"),
        )
        for kind in ("weight", "bias")
    ),
]
"""timm's and DeiT's names and ours, once `split_qkv` has taken their joint query, key and value apart."""


@dataclass(frozen=True)
class ImageViT:
    """An image ViT read from a file.

    `tensors` are named as those of a ViViT of joint attention over one frame. `heads` is the number of heads
    where the file tells it, else None. `erf` tells whether its authors use the erf GELU; `mean` and `std` are
    the pixels' normalisation that its names imply, over values in [0, 1].
    """

    file: str
    format: str
    tensors: tuple[Renamed, ...]
    heads: int | None
    erf: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of one of our names."""
        return next(r.tensor for r in self.tensors if r.ours == name)

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of one of our names."""
        return any(r.ours == name for r in self.tensors)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len({m[1] for r in self.tensors if (m := re.match(r"encoder\.blocks\.(\d+)\.", r.ours))})

    @property
    def side(self) -> int:
        """Patches along the side of the (square) image."""
        tokens = self["encoder.positions.table"].shape[1] - ("encoder.class_token" in self)
        side = math.isqrt(tokens)
        if side * side != tokens:
            raise WeightsError(f"{self.file}: {tokens} positions are no square grid of patches.")
        return side


def split_qkv(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`attn.qkv` as `attn.query`, `attn.key` and `attn.value`."""
    split: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".attn.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                split[name.replace(".qkv.", f".{part}.")] = piece
        else:
            split[name] = tensor
    return split


def read_image_vit(path: Path) -> ImageViT:
    """An image ViT from a file: timm's or DeiT's names (safetensors or PyTorch), or a Scenic checkpoint.

    Raises:
        WeightsError: if the file cannot be read, or holds tensors that belong to no image ViT; lists them.
    """
    if path.suffix not in (".safetensors", ".bin", ".pt", ".pth"):
        parameters = scenic.read_parameters(path)
        renamed, unknown = read(parameters, scenic.table(image=True))
        kernel = parameters.get("Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel")
        heads = None if kernel is None else kernel.shape[1]
        found = ImageViT(
            str(path), "Scenic ViT", tuple(renamed), heads, False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        )
    else:
        tensors = read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
        renamed, unknown = read(split_qkv(tensors), TIMM)
        found = ImageViT(
            str(path), "image ViT (timm names)", tuple(renamed), None, True, IMAGENET_MEAN, IMAGENET_STD
        )
    needed = ("embedding.weight", "encoder.positions.table", "encoder.blocks.0.attention.layer.query.weight")
    missing = [name for name in needed if name not in found]
    if unknown or missing:
        lines = [f"  not understood: {name}" for name in unknown] + [f"  missing: {name}" for name in missing]
        raise WeightsError("\n".join([f"{path} is no image ViT that is known here:", *lines]))
    return found
