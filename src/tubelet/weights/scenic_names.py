"""The names of tensors in Scenic's checkpoints, and ours."""

from collections.abc import Mapping

from torch import Tensor

from tubelet.weights.rename import CONV2D, CONV3D, DENSE, HEADS_BIAS, HEADS_IN, HEADS_OUT, SAME, Rename

ENCODERS = (
    ("Transformer", "encoder"),
    ("SpatialTransformer", "spatial"),
    ("TemporalTransformer", "temporal"),
)
CLASS_TOKENS = {"encoder": "cls", "spatial": "cls_SpatialTransformer", "temporal": "cls_TemporalTransformer"}
NORMS = (
    ("LayerNorm_0", "attention"),
    ("LayerNorm_1", "mlp"),
    ("LayerNorm_time", "time"),
    ("LayerNorm_space", "space"),
    ("LayerNorm_mlp", "mlp"),
)
ATTENTIONS = (
    ("MultiHeadDotProductAttention_0", "attention"),
    ("MultiHeadDotProductAttention_time", "time"),
    ("MultiHeadDotProductAttention_space", "space"),
)
PRE_LINEN = (
    ("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"),
    ("LayerNorm_2", "LayerNorm_1"),
    ("MlpBlock_3", "MlpBlock_0"),
)
"""Submodules of a block were numbered together before flax's Linen interface."""


def table(image: bool = False, factorised_attention: bool = False) -> list[Rename]:
    """Their names and ours.

    Args:
        image: the embedding is a 2D convolution: an image ViT, or uniform frame sampling.
        factorised_attention: Model 3, whose blocks name their parts otherwise.
    """
    rows = [
        Rename("embedding/kernel", "embedding.weight", CONV2D if image else CONV3D),
        Rename("embedding/bias", "embedding.bias"),
        Rename("pre_logits/kernel", "representation.weight", DENSE),
        Rename("pre_logits/bias", "representation.bias"),
        Rename("output_projection/kernel", "head.weight", DENSE),
        Rename("output_projection/bias", "head.bias"),
    ]
    for theirs, ours in ENCODERS:
        rows += [
            Rename(CLASS_TOKENS[ours], f"{ours}.class_token"),
            Rename(f"{theirs}/posembed_input/pos_embedding", f"{ours}.positions.table"),
            Rename(f"{theirs}/encoder_norm/scale", f"{ours}.norm.weight"),
            Rename(f"{theirs}/encoder_norm/bias", f"{ours}.norm.bias"),
        ]
        rows += block_table(f"{theirs}/encoderblock_{{i}}", f"{ours}.blocks.{{i}}", factorised_attention)
    return rows


def block_table(theirs: str, ours: str, factorised_attention: bool) -> list[Rename]:
    """The rows of one block."""
    rows: list[Rename] = []
    for norm, branch in NORMS[2:] if factorised_attention else NORMS[:2]:
        rows.append(Rename(f"{theirs}/{norm}/scale", f"{ours}.{branch}.norm.weight"))
        rows.append(Rename(f"{theirs}/{norm}/bias", f"{ours}.{branch}.norm.bias"))
    for attention, branch in ATTENTIONS[1:] if factorised_attention else ATTENTIONS[:1]:
        for part in ("query", "key", "value"):
            name = f"{ours}.{branch}.layer.{part}"
            rows.append(Rename(f"{theirs}/{attention}/{part}/kernel", f"{name}.weight", HEADS_IN))
            rows.append(Rename(f"{theirs}/{attention}/{part}/bias", f"{name}.bias", HEADS_BIAS))
        rows.append(
            Rename(f"{theirs}/{attention}/out/kernel", f"{ours}.{branch}.layer.out.weight", HEADS_OUT)
        )
        rows.append(Rename(f"{theirs}/{attention}/out/bias", f"{ours}.{branch}.layer.out.bias", SAME))
    mlp = "MlpBlock" if factorised_attention else "MlpBlock_0"
    for dense, part in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
        rows.append(Rename(f"{theirs}/{mlp}/{dense}/kernel", f"{ours}.mlp.layer.{part}.weight", DENSE))
        rows.append(Rename(f"{theirs}/{mlp}/{dense}/bias", f"{ours}.mlp.layer.{part}.bias", SAME))
    return rows


def current_names(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters under the names that they have since Linen."""
    if any("MlpBlock_3/" in name for name in parameters):
        for old, new in PRE_LINEN:
            parameters = {name.replace(f"/{old}/", f"/{new}/"): t for name, t in parameters.items()}
    return dict(parameters)
