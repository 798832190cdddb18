"""`tubelet.load`: a Classifier from any file that is known."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.engines.description import SUFFIXES
from tubelet.engines.model import read_exported
from tubelet.errors import ConfigError, TubeletError, WeightsError
from tubelet.hub import fetch, is_repo_id
from tubelet.labels import Labels
from tubelet.model_folder import FORMAT
from tubelet.models.config import ViViTConfig
from tubelet.starting import begin, source_of
from tubelet.video.view import View
from tubelet.weights import scenic
from tubelet.weights.files import read_json
from tubelet.weights.huggingface import read_classifier
from tubelet.weights.image_vit import from_jax, holds_image_vit, read_image_vit
from tubelet.weights.releases import Release
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start
from tubelet.weights.start import start_config as config_of

MODELS: dict[str, Path] = {"camera-motion": Path(__file__).parent / "zoo" / "camera_motion"}
"""The trained models that come with the package: their names, and their folders."""


def load(
    path: str | Path,
    config: ViViTConfig | Release | None = None,
    *,
    labels: Labels | None = None,
    revision: str | None = None,
    trust: bool = False,
) -> Classifier:
    """A classifier from a file or folder of any known format, or a model of the package by its name.

    Known: a folder that Tubelet saved; a Hugging Face folder of a ViViT or a VideoMAE; a Scenic ViViT checkpoint
    (flax msgpack); an image ViT (see `tubelet.start_from`) as the start of the ViViT that `config` describes, whose
    head is then new; a file of `tubelet export`; the names in `tubelet.loading.MODELS`.

    What the tensors fix is read from them. What they do not fix comes from `config`, or is a named default that
    the report, `.report` of what is returned, lists as assumed. No file beside a checkpoint is looked at.

    Args:
        path: the file or folder, the name, or an id of the Hugging Face Hub (`owner/name`), from which it is fetched.
        config: the architecture, where the file does not say it whole. Required for an image ViT. Of Scenic's model
            zoo, `scenic_zoo(NAME)` says also how the model looks at a video and which heads it has.
        labels: the class names, where the file does not say them. Required for a Hugging Face encoder without a head.
        revision: the branch, tag or commit of a Hub id. None: `main`.
        trust: execute the code that exported `.pt2` files hold; no other file holds any.

    Raises:
        WeightsError: if the file is of no known format, cannot be read, or does not fit; lists all that does not.
        ConfigError: if a revision is given of what is no Hub id.
    """
    if revision is not None:
        if str(path) in MODELS or Path(path).exists():
            raise ConfigError(f"revision={revision!r} belongs to ids of the Hub, and {path} is here.")
        path = fetch(str(path), revision)
    found = read(path, config, labels, trust)
    if isinstance(found, Classifier):
        return found
    if config is None:
        raise WeightsError(
            f"{path} holds an image ViT, which can only start a ViViT: give the config of that ViViT "
            "(tubelet.start_config makes one that fits the file), or train from it: tubelet train folder --init."
        )
    if isinstance(config, Release):
        raise WeightsError(f"{path} holds an image ViT, and not the release {config.name}.")
    return begin(found, config, labels=labels)


def start_from(
    source: str | Path | Classifier,
    config: ViViTConfig,
    rules: Start | None = None,
    *,
    labels: Labels | None = None,
    generator: torch.Generator | None = None,
) -> Classifier:
    """A classifier that starts from an image ViT, or from a ViViT of another shape.

    A ViViT may get more or fewer frames, another size, other classes, other channels, and Model 1 may become any of
    the four models. Image ViTs are known as safetensors or PyTorch files with the names of timm, DeiT, DINO or
    Hugging Face, Hugging Face folders of a ViT or DeiT, `.npz` files of `vision_transformer` (AugReg) and big_vision,
    and Scenic checkpoints. A ViViT is whatever `tubelet.load` reads, or a classifier that is there.

    Args:
        source: the file or folder, or the classifier.
        config: the ViViT that is wanted; `start_config` makes one that fits.
        rules: what becomes of each part; see `Start`.
        labels: the class names of the new model. None: numbered, or the source's where its heads are kept.
        generator: source of the weights that are new.

    Returns:
        The classifier, whose view is the source's at the new frames, size and channels, and whose report says what
        became of every tensor.

    Raises:
        WeightsError: if the source cannot be read, or does not fit; lists every tensor concerned.
        ConfigError: if there is no rule by which this source starts such a model; lists everything that differs.
    """
    found = source_of(source) if isinstance(source, Classifier) else open_source(source)
    return begin(found, config, rules, labels, generator)


def start_config(source: str | Path | Classifier, **fields: Any) -> ViViTConfig:
    """The config of a ViViT that a source can start.

    Around an image ViT: a ViViT of its width, depth, heads, hidden size, patches, activation and norm, by default of
    32 frames, tubelets of two and joint attention. Of a ViViT: its own.

    Args:
        source: what `start_from` takes.
        fields: the fields of `ViViTConfig` that are to be different, such as `attention`, `frames`, `size`,
            `classes`. `tubelet` may be just the number of frames.

    Raises:
        WeightsError: if the source cannot be read.
        ConfigError: if the fields make no sense together.
    """
    return config_of(source_of(source) if isinstance(source, Classifier) else open_source(source), **fields)


def open_source(path: str | Path) -> SourceModel:
    """What `start_from` can start from, out of a file."""
    found = read(path, None, None)
    return source_of(found) if isinstance(found, Classifier) else found


def read(
    path: str | Path, config: ViViTConfig | Release | None, labels: Labels | None, trust: bool = False
) -> Classifier | SourceModel:
    """What a file or folder holds: a classifier, or an image ViT.

    Raises:
        WeightsError: whatever is wrong with what is there.
        ConfigError: if `config` or `labels` make no sense, or not with what is there.
    """
    try:
        return recognise(path, config, labels, trust)
    except ConfigError as error:
        if config is not None or labels is not None:
            raise
        raise WeightsError(f"{path} makes no model: {error}") from error
    except TubeletError:
        raise
    except Exception as error:  # what is damaged or made to do harm can be anything at all
        raise WeightsError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def recognise(
    path: str | Path, config: ViViTConfig | Release | None, labels: Labels | None, trust: bool
) -> Classifier | SourceModel:
    """See `read`."""
    name = str(path)
    path = MODELS.get(name, Path(path))
    if not path.exists() and is_repo_id(name):
        path = fetch(name)
    if not path.exists():
        raise WeightsError(f"There is no file or folder {path}.")
    if path.is_file() and path.suffix in SUFFIXES.values():
        if config is not None:
            raise WeightsError(f"{path} says its own architecture: leave config out.")
        model = read_exported(path, trust)
        return Classifier(model, model.description.view, labels or model.description.labels)
    if holds_image_vit(path):
        return read_image_vit(path)
    if path.is_dir():
        if config is not None:
            raise WeightsError(f"{path} says its own architecture: leave config out.")
        return load_folder(path, labels)
    parameters, left = scenic.read_parameters(path)
    if isinstance(config, Release):
        model, report = scenic.build_release(parameters, str(path), config, left)
        if labels is None:
            report = replace(report, assumed={"labels": "numbered; the file has no names"})
        return Classifier(model, config.view, labels or config.labels, report)
    if is_image_vit(parameters, config):
        return from_jax(parameters, str(path), "Scenic ViT", left)
    classes = None if labels is None else labels.classes
    model, report = scenic.build_scenic(parameters, str(path), config, classes, left)
    view = View.scenic(frames=model.config.frames, size=model.config.size, resize=resize_for(model.config))
    assumed = {"view": "the official one: stride 2, the shorter side 8/7 of the size, values in [-1, 1]"}
    if labels is None:
        assumed["labels"] = "numbered; the file has no names"
    report = replace(report, assumed={**report.assumed, **assumed})
    return Classifier(model, view, labels or Labels.numbered(model.config.classes), report)


def load_folder(folder: Path, labels: Labels | None) -> Classifier:
    """A classifier from a folder with a `config.json`: Tubelet's or Hugging Face's."""
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{folder} holds no config.json, so it is neither a Tubelet nor a Hugging Face model."
        )
    if read_json(folder / "config.json").get("format") == FORMAT:
        found = Classifier.load(folder)
        return (
            found
            if labels is None
            else Classifier(found.model, found.view, labels, found.report, found.extra)
        )
    return Classifier(*read_classifier(folder, labels))


def is_image_vit(parameters: Mapping[str, Tensor], config: ViViTConfig | None) -> bool:
    """Whether the parameters of a Scenic file are those of an image ViT rather than a ViViT.

    With a 2D patch embedding they are, unless their positions are those of `config`, a ViViT by uniform frame
    sampling; without a config the two cannot be told apart.
    """
    if not scenic.is_image_vit(parameters) or scenic.is_factorised_attention(parameters):
        return False
    if "Transformer/posembed_input/pos_embedding" not in parameters:
        return False
    positions = parameters["Transformer/posembed_input/pos_embedding"].shape[1]
    return config is None or positions != math.prod(config.grid) + config.has_class_token


def resize_for(config: ViViTConfig) -> int:
    """The official shorter side before cropping: 256 for 224 pixels, 8/7 of any other size."""
    return round(min(config.pixels) * 8 / 7)
