"""A new classifier from a source: an image ViT, or a classifier that looks at other clips or names other things."""

import math
from dataclasses import replace

import torch

from tubelet.classifier import Classifier
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights.rename import Renamed
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start
from tubelet.weights.surgeon import fill
from tubelet.weights.surgery import ChannelRule, new_normalisation


def begin(
    source: SourceModel,
    config: ViViTConfig,
    rules: Start | None = None,
    labels: Labels | None = None,
    generator: torch.Generator | None = None,
) -> Classifier:
    """A classifier of `config` that starts from a source; see `tubelet.start_from`, which opens files too."""
    rules = rules or Start()
    model = ViViT(config, generator)
    if labels is None and rules.heads == "kept":
        labels = source.labels
    report = fill(model, source, rules, labels)
    view = view_for(source, config, rules.channels)
    return Classifier(model, view, labels or Labels.numbered(config.classes), report)


def view_for(source: SourceModel, config: ViViTConfig, rule: ChannelRule) -> View:
    """The source's view with the frames, size and channels of another model."""
    view, channels = source.view, config.channels
    mean, std = view.mean, view.std
    if channels != source.config.channels and mean is not None:
        mean, std = new_normalisation(*source.normalisation, channels, rule)
    resize = view.resize
    if isinstance(resize, int):
        side, smallest = min(config.pixels), 1.0 if view.jitter is None else view.jitter[0]
        resize = max(round(resize * side / min(view.height, view.width)), math.ceil(side / smallest))
    elif resize is not None:
        (rows, columns), (height, width) = resize, config.pixels
        resize = round(rows * height / view.height), round(columns * width / view.width)
    return replace(
        view, frames=config.frames, size=config.size, resize=resize, channels=channels, mean=mean, std=std
    )


def source_of(classifier: Classifier) -> SourceModel:
    """A classifier as what another can start from."""
    report = classifier.report
    theirs = (
        {} if report is None else {row.ours: row.theirs for row in report.rows if row.ours and row.theirs}
    )
    tensors = tuple(
        Renamed(theirs.get(name, name), name, tensor.detach().float().cpu())
        for name, tensor in classifier.model.state_dict().items()
    )
    return SourceModel(
        file="a classifier" if report is None else report.file,
        format="Tubelet" if report is None else report.format,
        config=classifier.model.config,
        tensors=tensors,
        view=classifier.view,
        labels=classifier.labels,
    )
