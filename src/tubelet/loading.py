"""`tubelet.load`: a Classifier from any file that is known."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from tubelet.classifier import FORMAT, Classifier
from tubelet.errors import WeightsError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.video.view import View
from tubelet.weights import scenic
from tubelet.weights.files import read_json
from tubelet.weights.huggingface import load_huggingface
from tubelet.weights.image_vit import read_image_vit
from tubelet.weights.start import Start, start_from_image

MODELS: dict[str, Path] = {"camera-motion": Path(__file__).parent / "zoo" / "camera_motion"}
"""The trained models that come with the package: their names, and their folders."""


def load(
    path: str | Path,
    config: ViViTConfig | None = None,
    *,
    start: Start | None = None,
    labels: Labels | None = None,
) -> Classifier:
    """A classifier from a file or folder of any known format, or a model of the package by its name.

    Known: a folder that Tubelet saved; a Hugging Face ViViT folder; a Scenic ViViT checkpoint (flax msgpack);
    an image ViT (timm's or DeiT's names as safetensors or PyTorch file, or a Scenic ViT) as the start of the
    ViViT that `config` describes, whose head is then new; the names in `tubelet.loading.MODELS`.

    What the tensors fix is read from them. What they do not fix comes from `config`, or is a named default that
    the report, `.report` of what is returned, lists as assumed. No file beside a checkpoint is looked at.

    Args:
        path: the file or folder, or the name.
        config: the architecture, where the file does not say it whole. Required for an image ViT.
        start: the rules by which an image ViT becomes a ViViT.
        labels: the class names, where the file does not say them.

    Raises:
        WeightsError: if the file is of no known format, cannot be read, or does not fit; lists all that does not.
    """
    path = MODELS.get(str(path), Path(path))
    if not path.exists():
        raise WeightsError(f"There is no file or folder {path}.")
    if path.is_dir():
        if config is not None:
            raise WeightsError(f"{path} says its own architecture: leave config out.")
        return load_folder(path, labels)
    torch_file = path.suffix in (".safetensors", ".bin", ".pt", ".pth")
    parameters = {} if torch_file else scenic.read_parameters(path)
    if torch_file or is_image_vit(parameters, config):
        if config is None:
            raise WeightsError(
                f"{path} holds an image ViT, which can only start a ViViT: give the config of that ViViT "
                "(tubelet.image_config makes one that fits the file)."
            )
        model, report = start_from_image(config, path, start)
        image = read_image_vit(path)
        view = View.image(image.mean, image.std, frames=config.frames, size=config.size)
        return Classifier(model, view, labels or Labels.numbered(config.classes), report)
    model, report = scenic.build_scenic(parameters, str(path), config)
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
        return found if labels is None else Classifier(found.model, found.view, labels, found.report)
    model, names, report = load_huggingface(folder)
    assumed = {"stride": "2 frames, as ViViT was trained on Kinetics; the folder does not say"}
    processor = folder / "preprocessor_config.json"
    if not processor.is_file():
        assumed["view"] = "the defaults of VivitImageProcessor; there is no preprocessor_config.json"
    view = View.huggingface(read_json(processor) if processor.is_file() else {}, frames=model.config.frames)
    if labels is None:
        labels = Labels.numbered(model.config.classes) if names is None else Labels.single(names)
    return Classifier(model, view, labels, replace(report, assumed=assumed))


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
