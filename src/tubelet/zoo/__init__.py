"""The trained models that come with the package, and the public `load`."""

from pathlib import Path

from tubelet import classifier
from tubelet.classifier import Classifier
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.weights.start import Start

NAMES: dict[str, Path] = {"camera-motion": Path(__file__).parent / "camera_motion"}
"""Names of the models in the package, and their folders."""


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
    ViViT that `config` describes, whose head is then new; the names in `tubelet.zoo.NAMES`.

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
    return classifier.load(NAMES.get(str(path), Path(path)), config, start=start, labels=labels)
