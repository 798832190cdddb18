"""ViViT folders of Hugging Face's transformers: `config.json`, weights, and perhaps `preprocessor_config.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.config import Activation, ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.files import read_json, read_pickle, read_safetensors
from tubelet.weights.rename import Rename, read
from tubelet.weights.report import LoadReport, Row, load_strictly

ACTIVATIONS: dict[str, Activation] = {
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu_erf",
    "relu": "relu",
}

TABLE: list[Rename] = [
    Rename("vivit.embeddings.cls_token", "encoder.class_token"),
    Rename("vivit.embeddings.position_embeddings", "encoder.positions.table"),
    Rename("vivit.embeddings.patch_embeddings.projection.weight", "embedding.weight"),
    Rename("vivit.embeddings.patch_embeddings.projection.bias", "embedding.bias"),
    Rename("vivit.layernorm.weight", "encoder.norm.weight"),
    Rename("vivit.layernorm.bias", "encoder.norm.bias"),
    Rename("classifier.weight", "head.weight"),
    Rename("classifier.bias", "head.bias"),
    *(
        Rename(f"vivit.encoder.layer.{{i}}.{theirs}.{kind}", f"encoder.blocks.{{i}}.{ours}.{kind}")
        for theirs, ours in (
            ("layernorm_before", "attention.norm"),
            ("attention.attention.query", "attention.layer.query"),
            ("attention.attention.key", "attention.layer.key"),
            ("attention.attention.value", "attention.layer.value"),
            ("attention.output.dense", "attention.layer.out"),
            ("layernorm_after", "mlp.norm"),
            ("intermediate.dense", "mlp.layer.fc1"),
            ("output.dense", "mlp.layer.fc2"),
        )
        for kind in ("weight", "bias")
    ),
]
"""The names that saved folders have, in 4.x and 5.x alike, and ours."""

LEFT_OUT = ("vivit.pooler.dense.weight", "vivit.pooler.dense.bias")
"""Tensors that the classifier does not use."""


def read_config(folder: Path) -> tuple[ViViTConfig, tuple[str, ...] | None]:
    """The architecture of a folder's `config.json`, and its class names where they are more than numbers.

    Raises:
        WeightsError: if it is not the config of a ViViT, or asks for what ViViT does not have.
    """
    file = folder / "config.json"
    theirs = read_json(file)
    if theirs.get("model_type") != "vivit":
        raise WeightsError(f"{file} is for a {theirs.get('model_type')!r} model, not for a 'vivit'.")
    activation = theirs.get("hidden_act", "gelu_fast")
    if activation not in ACTIVATIONS:
        raise WeightsError(f"{file}: hidden_act={activation!r} is not one of {', '.join(ACTIVATIONS)}.")
    labels: dict[str, str] = theirs.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    names = tuple(labels[str(i)] for i in range(len(labels)))
    size: int | list[int] = theirs.get("image_size", 224)
    config = ViViTConfig(
        frames=theirs.get("num_frames", 32),
        size=size if isinstance(size, int) else (size[0], size[1]),
        channels=theirs.get("num_channels", 3),
        tubelet=tuple(theirs.get("tubelet_size", (2, 16, 16))),
        width=theirs.get("hidden_size", 768),
        depth=theirs.get("num_hidden_layers", 12),
        heads=theirs.get("num_attention_heads", 12),
        hidden=theirs.get("intermediate_size", 3072),
        classes=(len(names),),
        pool="class",
        activation=ACTIVATIONS[activation],
        norm_eps=theirs.get("layer_norm_eps", 1e-6),
        qkv_bias=theirs.get("qkv_bias", True),
        dropout=theirs.get("hidden_dropout_prob", 0.0),
        attention_dropout=theirs.get("attention_probs_dropout_prob", 0.0),
    )
    numbered = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    return config, None if numbered else names


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder: `model.safetensors` or `pytorch_model.bin`, whole or in the parts of an index."""
    for name, reader in (("model.safetensors", read_safetensors), ("pytorch_model.bin", read_pickle)):
        if (folder / name).is_file():
            return reader(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts: Mapping[str, Any] = read_json(index).get("weight_map", {})
            tensors: dict[str, Tensor] = {}
            for part in sorted(set(parts.values())):
                if Path(part).name != part:
                    raise WeightsError(f"{index} names a file outside its folder: {part!r}.")
                tensors |= reader(folder / part)
            return tensors
    raise WeightsError(f"{folder} holds neither model.safetensors nor pytorch_model.bin.")


def load_huggingface(folder: Path) -> tuple[ViViT, tuple[str, ...] | None, LoadReport]:
    """The ViViT of a Hugging Face folder, its class names (None if they are only numbered), and the report.

    Raises:
        WeightsError: if the folder is not that of a ViViT classifier; lists every tensor that does not fit.
    """
    config, names = read_config(folder)
    tensors = read_tensors(folder)
    left = {name: tensors.pop(name) for name in LEFT_OUT if name in tensors}
    renamed, unknown = read(tensors, TABLE)
    model = ViViT(config)
    load_strictly(model, {r.ours: r.tensor for r in renamed}, str(folder), unknown)
    rows = [Row("taken", r.theirs, r.ours, tuple(r.tensor.shape)) for r in renamed]
    rows += [Row("left out", n, "", tuple(t.shape), "no classifier uses it") for n, t in left.items()]
    return model.eval(), names, LoadReport(str(folder), "Hugging Face ViViT", tuple(rows))
