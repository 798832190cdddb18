"""ViViT as Hugging Face's transformers has it: names of tensors and fields of `config.json`, both ways."""

from collections.abc import Mapping
from typing import Any, Literal

from tubelet.errors import WeightsError
from tubelet.labels import Kind
from tubelet.models.config import Activation, ViViTConfig
from tubelet.weights.rename import Rename

ACTIVATIONS: dict[str, Activation] = {
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu_erf",
    "relu": "relu",
}
"""Their names of activations and ours; of several for one of ours the first is written."""


ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
PROBLEMS: dict[Kind, ProblemType] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "number": "regression",
}
"""Their `problem_type` for our kinds of heads."""


def kind_of(theirs: Mapping[str, Any], classes: int) -> Kind:
    """What the head of a config asks. Without a `problem_type` a single output is a number, as it is there.

    Raises:
        WeightsError: for a `problem_type` that there is not.
    """
    given = theirs.get("problem_type") or ("regression" if classes == 1 else PROBLEMS["single"])
    kinds: dict[str, Kind] = {name: kind for kind, name in PROBLEMS.items()}
    if given not in kinds:
        raise WeightsError(f"problem_type={given!r} is not one of {', '.join(kinds)}.")
    return kinds[given]


def table(layer: str, parts: Mapping[str, str]) -> list[Rename]:
    """Their names and ours.

    Args:
        layer: what comes before the number of a block.
        parts: what they call the parts of a block, by our names.
    """
    return [
        Rename("vivit.embeddings.cls_token", "encoder.class_token"),
        Rename("vivit.embeddings.position_embeddings", "encoder.positions.table"),
        Rename("vivit.embeddings.patch_embeddings.projection.weight", "embedding.weight"),
        Rename("vivit.embeddings.patch_embeddings.projection.bias", "embedding.bias"),
        Rename("vivit.layernorm.weight", "encoder.norm.weight"),
        Rename("vivit.layernorm.bias", "encoder.norm.bias"),
        Rename("vivit.pooler.dense.weight", "representation.weight"),
        Rename("vivit.pooler.dense.bias", "representation.bias"),
        Rename("classifier.weight", "head.weight"),
        Rename("classifier.bias", "head.bias"),
        *(
            Rename(f"{layer}.{{i}}.{theirs}.{kind}", f"encoder.blocks.{{i}}.{ours}.{kind}")
            for ours, theirs in parts.items()
            for kind in ("weight", "bias")
        ),
    ]


TABLE = table(
    "vivit.encoder.layer",
    {
        "attention.norm": "layernorm_before",
        "attention.layer.query": "attention.attention.query",
        "attention.layer.key": "attention.attention.key",
        "attention.layer.value": "attention.attention.value",
        "attention.layer.out": "attention.output.dense",
        "mlp.norm": "layernorm_after",
        "mlp.layer.fc1": "intermediate.dense",
        "mlp.layer.fc2": "output.dense",
    },
)
"""The names in saved folders, of 4.x and by default of 5.x too. These are written: every version reads them."""

TABLE_5 = table(
    "vivit.layers",
    {
        "attention.norm": "layernorm_before",
        "attention.layer.query": "attention.q_proj",
        "attention.layer.key": "attention.k_proj",
        "attention.layer.value": "attention.v_proj",
        "attention.layer.out": "attention.o_proj",
        "mlp.norm": "layernorm_after",
        "mlp.layer.fc1": "mlp.fc1",
        "mlp.layer.fc2": "mlp.fc2",
    },
)
"""The names that 5.x has in memory, and saves when it is told not to keep the original format."""


def activation_of(theirs: Mapping[str, Any], default: str) -> Activation:
    """The activation that a config names.

    Raises:
        WeightsError: if it is none of ours.
    """
    name = theirs.get("hidden_act", default)
    if name not in ACTIVATIONS:
        raise WeightsError(f"hidden_act={name!r} is not one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def size_of(value: Any) -> int | tuple[int, int]:
    """Pixels: the side of a square, or (height, width)."""
    return value if isinstance(value, int) else (value[0], value[1])


def config_from(theirs: Mapping[str, Any], classes: tuple[int, ...], pooler: bool) -> ViViTConfig:
    """The architecture of a ViViT's `config.json`.

    Args:
        theirs: the config; what it leaves out is its own default.
        classes: of each head.
        pooler: whether the head stands on the encoder's pooler, which is our representation layer.

    Raises:
        WeightsError: for what no ViViT here has.
    """
    if pooler and theirs.get("pooler_act", "tanh") != "tanh":
        raise WeightsError(f"pooler_act={theirs['pooler_act']!r} is not 'tanh'.")
    width: int = theirs.get("hidden_size", 768)
    return ViViTConfig(
        frames=theirs.get("num_frames", 32),
        size=size_of(theirs.get("image_size", 224)),
        channels=theirs.get("num_channels", 3),
        tubelet=tuple(theirs.get("tubelet_size", (2, 16, 16))),
        width=width,
        depth=theirs.get("num_hidden_layers", 12),
        heads=theirs.get("num_attention_heads", 12),
        head_dim=theirs.get("head_dim"),
        hidden=theirs.get("intermediate_size", 3072),
        classes=classes,
        pool="class",
        representation=(theirs.get("pooler_output_size") or width) if pooler else None,
        activation=activation_of(theirs, "gelu_fast"),
        norm_eps=theirs.get("layer_norm_eps", 1e-6),
        qkv_bias=theirs.get("qkv_bias", True),
        dropout=theirs.get("hidden_dropout_prob", 0.0),
        attention_dropout=theirs.get("attention_probs_dropout_prob", 0.0),
    )


def config_to(config: ViViTConfig) -> dict[str, Any]:
    """The inverse of `config_from`, for a config that `reasons_against` has nothing against."""
    size = config.pixels
    activation = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
    return {
        "architectures": ["VivitForVideoClassification"],
        "model_type": "vivit",
        "image_size": size[0] if size[0] == size[1] else list(size),
        "num_frames": config.frames,
        "num_channels": config.channels,
        "tubelet_size": list(config.tubelet),
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "hidden_act": activation,
        "layer_norm_eps": config.norm_eps,
        "qkv_bias": config.qkv_bias,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
    }


def reasons_against(config: ViViTConfig) -> list[str]:
    """Why a model is no ViViT of Hugging Face's, which is the paper's Model 1; empty if it is one."""
    config = config.resolved()
    checks = [
        (
            config.attention != "joint",
            f"attention={config.attention!r}: it has Model 1 only, which is 'joint'",
        ),
        (len(config.classes) > 1, f"{len(config.classes)} heads: it has one"),
        (config.pool != "class", f"pool={config.pool!r}: it classifies by the class token"),
        (
            config.positions != "learned",
            f"positions={config.positions!r}: its positions are learned",
        ),
        (
            config.representation is not None,
            f"representation={config.representation}: its head stands on the class token",
        ),
        (
            config.sampled_frames is not None,
            f"sampled_frames={config.sampled_frames}: it embeds tubelets of all frames",
        ),
        (not config.final_norm, "final_norm=False: it always has the norm after the last block"),
        (
            config.pooled_norm_eps is not None,
            f"pooled_norm_eps={config.pooled_norm_eps}: it has no norm after pooling",
        ),
        (
            config.head_dim is not None and config.head_dim * config.heads != config.width,
            f"head_dim={config.head_dim}: its {config.heads} heads share the width of {config.width}",
        ),
    ]
    return [why for against, why in checks if against]
