"""Folders of Hugging Face's transformers: ViViT and VideoMAE, with their configs and perhaps preprocessor configs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.labels import Head, Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights import videomae, vivit_folder
from tubelet.weights.files import read_json, read_parts, read_pickle, read_safetensors
from tubelet.weights.rename import Rename, read
from tubelet.weights.report import LoadReport, Row, check_plausible, load_strictly

SSV2_CLASSES = 174


@dataclass(frozen=True)
class Plan:
    """How a folder becomes the parts of a classifier."""

    format: str
    config: ViViTConfig
    table: list[Rename]
    left: Mapping[str, str]
    """Why tensors are left out, by the prefix of their names."""
    processor: str
    """The image processor that such folders are for."""
    defaults: Mapping[str, object]
    """What it does where its file is silent, if that is not what `View.huggingface` takes for granted."""
    stride: int | None
    """From a frame to the next; None: spread over the video."""
    trained: str
    """On what, as far as the frames are concerned."""


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder: `model.safetensors` or `pytorch_model.bin`, whole or in the parts of an index."""
    for name, reader in (("model.safetensors", read_safetensors), ("pytorch_model.bin", read_pickle)):
        if (folder / name).is_file():
            return reader(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return read_parts(index, reader)
    raise WeightsError(f"{folder} holds neither model.safetensors nor pytorch_model.bin.")


def read_labels(theirs: Mapping[str, Any]) -> Labels:
    """The head of a config; its classes are numbered where nobody gave them names."""
    given: Mapping[str, str] = theirs.get("id2label") or {
        str(i): f"LABEL_{i}" for i in range(theirs.get("num_labels", 2))
    }
    names = tuple(given[str(i)] for i in range(len(given)))
    if all(name == f"LABEL_{i}" for i, name in enumerate(names)):
        names = Labels.numbered((len(names),)).heads[0].classes
    return Labels((Head("label", names, vivit_folder.kind_of(theirs, len(names))),))


def plan_vivit(theirs: Mapping[str, Any], names: set[str], classes: tuple[int, ...]) -> Plan:
    """A ViViT: the classifier, or the bare encoder with its pooler under a new head."""
    new_head = "classifier.weight" not in names
    pooler = new_head and "vivit.pooler.dense.weight" in names
    return Plan(
        format="Hugging Face ViViT",
        config=vivit_folder.config_from(theirs, classes, pooler),
        table=vivit_folder.TABLE_5 if any(".q_proj." in name for name in names) else vivit_folder.TABLE,
        left={} if new_head else {"vivit.pooler.": "no classifier uses it"},
        processor="VivitImageProcessor",
        defaults={},
        stride=2,
        trained="ViViT was on Kinetics",
    )


def plan_videomae(theirs: Mapping[str, Any], names: set[str], classes: tuple[int, ...]) -> Plan:
    """A VideoMAE: the classifier, or an encoder fresh from pre-training under a new head.

    Under a new head the mean of the tokens is normed and classified, as its authors fine-tune it, whatever the
    config of the pre-training says.
    """
    new_head = "classifier.weight" not in names
    left: dict[str, str] = {}
    if new_head:
        left = dict.fromkeys(
            ("decoder.", "encoder_to_decoder.", "mask_token"), "it only serves the pre-training"
        )
        left["videomae.layernorm."] = "fine-tuning norms the mean of the tokens instead"
    something = sum(classes) == SSV2_CLASSES
    return Plan(
        format="Hugging Face VideoMAE",
        config=videomae.config_from(theirs, classes, True if new_head else None),
        table=videomae.TABLE_5 if any(".query.bias" in name for name in names) else videomae.TABLE,
        left=left,
        processor="VideoMAEImageProcessor",
        defaults=videomae.PROCESSOR,
        stride=None if something else 4,
        trained="VideoMAE was on "
        + (f"Something-Something ({SSV2_CLASSES} classes)" if something else "Kinetics"),
    )


PLANS = {"vivit": plan_vivit, "videomae": plan_videomae}
"""By their `model_type`, which is also the prefix of an encoder's tensors in a classifier."""


def complete(names: set[str], prefix: str) -> dict[str, str]:
    """The names of a bare encoder's tensors as a classifier has them, with the encoder's `prefix`."""
    bare = not any(name.startswith(prefix) for name in names)
    return {name: prefix + name if bare else name for name in names}


def fill(config: ViViTConfig, missing: list[str], new_head: bool) -> tuple[dict[str, Tensor], list[Row]]:
    """The tensors that these folders have no counterpart of, new: a zero head, its norm, zero biases of keys."""
    shapes = {name: tensor.shape for name, tensor in ViViT.hollow(config).state_dict().items()}
    tensors: dict[str, Tensor] = {}
    rows: list[Row] = []
    for name in missing:
        if name.endswith(".key.bias") and config.positions == "sinusoidal_1d":
            tensors[name], why = torch.zeros(shapes[name]), "zero: there is none, and no softmax would see it"
        elif new_head and name in ("head.weight", "head.bias"):
            tensors[name], why = torch.zeros(shapes[name]), "the new head starts at zero"
        elif new_head and name.startswith("pooled_norm."):
            start = torch.ones if name.endswith("weight") else torch.zeros
            tensors[name], why = start(shapes[name]), "the norm before the new head"
        else:
            continue
        rows.append(Row("fresh", "", name, tuple(shapes[name]), why))
    return tensors, rows


def read_view(folder: Path, plan: Plan) -> tuple[View, dict[str, str]]:
    """How the folder's preprocessor looks at a video; and what the folder does not say, with what is assumed."""
    file = folder / "preprocessor_config.json"
    video = folder / "video_preprocessor_config.json"
    fixed: dict[str, object] = {}
    if not file.is_file() and video.is_file():
        file, fixed = video, {"offset": plan.defaults.get("offset", True)}  # a video processor knows no other
    given = read_json(file) if file.is_file() else {}
    config, uniform = plan.config, plan.stride is None
    try:
        view = View.huggingface(
            {**plan.defaults, **given, **fixed}, frames=config.frames, stride=plan.stride, uniform=uniform
        )
    except ConfigError as error:
        raise WeightsError(f"{file} makes no view: {error}") from error
    how = "uniform" if uniform else "stride"
    assumed = {how: f"{getattr(view, how)}, as {plan.trained}; the folder does not say"}
    if not file.is_file():
        assumed["view"] = f"the defaults of {plan.processor}; there is no preprocessor_config.json"
    if config.dropout:
        assumed["dropout"] = (
            f"{config.dropout} inside the MLPs too, where theirs has none; only training sees it"
        )
    return view, assumed


def read_classifier(folder: Path, labels: Labels | None = None) -> tuple[ViViT, View, Labels, LoadReport]:
    """The parts of a classifier from a Hugging Face folder of a ViViT or a VideoMAE.

    Args:
        folder: with `config.json`, the weights, and perhaps `preprocessor_config.json`.
        labels: the class names, instead of the config's. Required for an encoder without a head, which gets a
            new one that starts at zero.

    Raises:
        WeightsError: if the folder is of neither, or does not fit; lists every tensor concerned.
    """
    file = folder / "config.json"
    theirs = read_json(file)
    kind = theirs.get("model_type")
    if kind not in PLANS:
        raise WeightsError(f"{file} is for a {kind!r} model, not for a 'vivit' or a 'videomae'.")
    tensors = read_tensors(folder)
    full = complete(set(tensors), f"{kind}.")
    names = set(full.values())
    new_head = "classifier.weight" not in names
    if new_head and labels is None:
        raise WeightsError(
            f"{folder} holds an encoder without a classifier. It can start one: give the labels of the new head, "
            "such as labels=tubelet.Labels.single(['jump', 'run']), or --labels jump run in the shell."
        )
    try:
        found = labels or read_labels(theirs)
        plan = PLANS[kind](theirs, names, found.classes)
    except (ConfigError, WeightsError, KeyError, TypeError, ValueError, IndexError) as error:
        raise WeightsError(f"{file} makes no model: {error}") from error
    rows: list[Row] = []
    for prefix, why in plan.left.items():
        names = [name for name in tensors if full[name].startswith(prefix)]
        rows += [Row("left out", name, "", tuple(tensors.pop(name).shape), why) for name in names]
    originals = {whole: name for name, whole in full.items()}
    renamed, unknown = read({full[name]: t.to(torch.float32) for name, t in tensors.items()}, plan.table)
    check_plausible(plan.config, len(tensors), str(folder))
    model = ViViT.hollow(plan.config)
    ours = {r.ours: r.tensor for r in renamed}
    fresh, fresh_rows = fill(plan.config, [n for n in model.state_dict() if n not in ours], new_head)
    load_strictly(model, ours | fresh, str(folder), [originals[name] for name in unknown])
    taken = [Row("taken", originals[r.theirs], r.ours, tuple(r.tensor.shape)) for r in renamed]
    view, assumed = read_view(folder, plan)
    report = LoadReport(str(folder), plan.format, (*taken, *rows, *fresh_rows), assumed)
    return model.eval(), view, found, report
