"""What a model answers to videos that it sees in several views: several clips of each, several crops of each clip.

V: views of a video.
"""

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.labels import Average


def answers(
    classifier: Classifier, pixels: Tensor, views: int, *, chunk: int = 8, average: Average = "logits"
) -> Tensor:
    """One answer for each video: its views' logits, averaged as officially (ViViT paper, section 4.1).

    Args:
        classifier: the model.
        pixels: uint8 `(B * V, F, C, H, W)`, the views of a video side by side.
        views: V.
        chunk: most views to put through the model at a time. It bounds the memory and changes no number beyond
            rounding.
        average: see `Labels.averaged`.

    Returns:
        Logits, float32 `(B, sum(classes))`, on the CPU.
    """
    return classifier.labels.averaged(classifier.run(pixels, chunk).unflatten(0, (-1, views)), average)


def shuffled(pixels: Tensor, seed: int) -> Tensor:
    """The views of one video `(V, F, C, H, W)`, the frames of each in an order drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(pixels.shape[:2], generator=generator).argsort(dim=1)
    return torch.stack([clip[frames] for clip, frames in zip(pixels, order, strict=True)])
