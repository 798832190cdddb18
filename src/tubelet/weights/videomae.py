"""VideoMAE as Hugging Face's transformers has it: a Model 1 with fixed positions and no class token.

Tong et al. 2022, "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
Pre-Training", arXiv 2203.12602.
"""

from collections.abc import Mapping
from typing import Any

from tubelet.models.config import ViViTConfig
from tubelet.weights.rename import Rename
from tubelet.weights.vivit_folder import activation_of, size_of

FC_NORM_EPS = 1e-5
"""Epsilon of the norm after pooling, which no config states."""

PROCESSOR: dict[str, object] = {"offset": False, "rescale_factor": 1 / 255, "size": {"shortest_edge": 224}}
"""What `VideoMAEImageProcessor` does where its file is silent and `VivitImageProcessor` would do otherwise."""


def table(query_bias: str, value_bias: str) -> list[Rename]:
    """Their names and ours; what they call the biases of query and value has changed."""
    block, own = "videomae.encoder.layer.{i}", "encoder.blocks.{i}"
    rows = [
        Rename("videomae.embeddings.patch_embeddings.projection.weight", "embedding.weight"),
        Rename("videomae.embeddings.patch_embeddings.projection.bias", "embedding.bias"),
        Rename("videomae.layernorm.weight", "encoder.norm.weight"),
        Rename("videomae.layernorm.bias", "encoder.norm.bias"),
        Rename("fc_norm.weight", "pooled_norm.weight"),
        Rename("fc_norm.bias", "pooled_norm.bias"),
        Rename("classifier.weight", "head.weight"),
        Rename("classifier.bias", "head.bias"),
        Rename(f"{block}.attention.attention.{query_bias}", f"{own}.attention.layer.query.bias"),
        Rename(f"{block}.attention.attention.{value_bias}", f"{own}.attention.layer.value.bias"),
    ]
    rows += [
        Rename(f"{block}.attention.attention.{part}.weight", f"{own}.attention.layer.{part}.weight")
        for part in ("query", "key", "value")
    ]
    rows += [
        Rename(f"{block}.{theirs}.{kind}", f"{own}.{ours}.{kind}")
        for theirs, ours in (
            ("layernorm_before", "attention.norm"),
            ("attention.output.dense", "attention.layer.out"),
            ("layernorm_after", "mlp.norm"),
            ("intermediate.dense", "mlp.layer.fc1"),
            ("output.dense", "mlp.layer.fc2"),
        )
        for kind in ("weight", "bias")
    ]
    return rows


TABLE = table("q_bias", "v_bias")
"""The names in saved folders, of 4.x and by default of 5.x too."""

TABLE_5 = table("query.bias", "value.bias")
"""The names that 5.x has in memory, and saves when it is told not to keep the original format."""


def config_from(theirs: Mapping[str, Any], classes: tuple[int, ...], mean: bool | None = None) -> ViViTConfig:
    """The architecture of a VideoMAE's `config.json`.

    The keys have no bias there. Ours have one where query and value do, and it is zero: whatever it is, it adds
    the same to all scores of a query, and the softmax over them does not see it.

    Args:
        theirs: the config; what it leaves out is its own default.
        classes: of each head.
        mean: whether the tokens' mean is classified. None: as the config says.

    Raises:
        WeightsError: for what no ViViT here has.
    """
    if mean is None:
        mean = bool(theirs.get("use_mean_pooling", True))
    patch = size_of(theirs.get("patch_size", 16))
    return ViViTConfig(
        frames=theirs.get("num_frames", 16),
        size=size_of(theirs.get("image_size", 224)),
        channels=theirs.get("num_channels", 3),
        tubelet=(theirs.get("tubelet_size", 2), *((patch, patch) if isinstance(patch, int) else patch)),
        width=theirs.get("hidden_size", 768),
        depth=theirs.get("num_hidden_layers", 12),
        heads=theirs.get("num_attention_heads", 12),
        hidden=theirs.get("intermediate_size", 3072),
        classes=classes,
        pool="mean" if mean else "first",
        positions="sinusoidal_1d",
        final_norm=not mean,
        pooled_norm_eps=FC_NORM_EPS if mean else None,
        activation=activation_of(theirs, "gelu"),
        norm_eps=theirs.get("layer_norm_eps", 1e-12),
        qkv_bias=theirs.get("qkv_bias", theirs.get("qv_bias", True)),
        dropout=theirs.get("hidden_dropout_prob", 0.0),
        attention_dropout=theirs.get("attention_probs_dropout_prob", 0.0),
    )
