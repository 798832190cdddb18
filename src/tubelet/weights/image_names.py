"""The names of image ViTs' tensors, and ours: those of a ViViT of joint attention over one frame.

Every table is for names without the prefix of a wrapper, and without what `image_vit.py` leaves out.
"""

from tubelet.weights import scenic_names
from tubelet.weights.rename import FRAME, Rename

BRANCHES = ("attention.norm", "attention.layer.query", "attention.layer.key", "attention.layer.value",
            "attention.layer.out", "mlp.norm", "mlp.layer.fc1", "mlp.layer.fc2")  # fmt: skip
"""The parts of a block, in the order in which the tables name them."""


def blocks(theirs: str, parts: tuple[str, ...]) -> list[Rename]:
    """The rows of a block: their prefix, `{i}` in it, and their names of `BRANCHES`."""
    return [
        Rename(f"{theirs}.{part}.{kind}", f"encoder.blocks.{{i}}.{branch}.{kind}")
        for part, branch in zip(parts, BRANCHES, strict=True)
        for kind in ("weight", "bias")
    ]


TIMM: list[Rename] = [
    Rename("cls_token", "encoder.class_token"),
    Rename("pos_embed", "encoder.positions.table"),
    Rename("patch_embed.proj.weight", "embedding.weight", FRAME),
    Rename("patch_embed.proj.bias", "embedding.bias"),
    Rename("norm.weight", "encoder.norm.weight"),
    Rename("norm.bias", "encoder.norm.bias"),
    Rename("head.weight", "head.weight"),
    Rename("head.bias", "head.bias"),
    *blocks(
        "blocks.{i}",
        ("norm1", "attn.query", "attn.key", "attn.value", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"),
    ),
]
"""timm's, DeiT's and DINO's, once their joint query, key and value are taken apart."""

HUGGINGFACE: list[Rename] = [
    Rename("embeddings.cls_token", "encoder.class_token"),
    Rename("embeddings.position_embeddings", "encoder.positions.table"),
    Rename("embeddings.patch_embeddings.projection.weight", "embedding.weight", FRAME),
    Rename("embeddings.patch_embeddings.projection.bias", "embedding.bias"),
    Rename("layernorm.weight", "encoder.norm.weight"),
    Rename("layernorm.bias", "encoder.norm.bias"),
    Rename("classifier.weight", "head.weight"),
    Rename("classifier.bias", "head.bias"),
    *blocks(
        "encoder.layer.{i}",
        (
            "layernorm_before",
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
            "layernorm_after",
            "intermediate.dense",
            "output.dense",
        ),
    ),
]
"""Of saved folders, and of state dicts of transformers 4."""

HUGGINGFACE_5: list[Rename] = [
    *(row for row in HUGGINGFACE if "{i}" not in row.theirs),
    *blocks(
        "layers.{i}",
        (
            "layernorm_before",
            "attention.q_proj",
            "attention.k_proj",
            "attention.v_proj",
            "attention.o_proj",
            "layernorm_after",
            "mlp.fc1",
            "mlp.fc2",
        ),
    ),
]
"""Of state dicts of transformers 5."""

JAX: list[Rename] = [
    row for row in scenic_names.table(image=True) if row.ours.split(".")[0] not in ("spatial", "temporal")
]
"""Scenic's, `vision_transformer`'s and big_vision's, once `jax_names` has made them alike."""


def jax_names(name: str) -> str:
    """A JAX ViT's name of a tensor as Scenic has it: `head` and the place of the positions differ elsewhere."""
    if name == "pos_embedding":
        return "Transformer/posembed_input/pos_embedding"
    return name.replace("head/", "output_projection/", 1) if name.startswith("head/") else name
