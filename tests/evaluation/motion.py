"""A tiny classifier and its clips for the tests of evaluation."""

import torch

from tubelet.classifier import Classifier
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View

VIEW = View(frames=4, stride=1, size=16, resize=20, value_range=(-1.0, 1.0), views="2x3")


def classifier_of(labels: Labels | tuple[str, ...]) -> Classifier:
    """Random weights that answer differently for each clip, always the same."""
    heads = labels if isinstance(labels, Labels) else Labels.single(labels)
    config = ViViTConfig(
        frames=4, size=16, tubelet=(2, 8, 8), width=16, depth=1, heads=2, hidden=16, classes=heads.classes
    )
    torch.manual_seed(0)
    model = ViViT(config)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    return Classifier(model, VIEW, heads)
