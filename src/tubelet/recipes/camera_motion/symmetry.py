"""Mirror images of clips in space and time, with their labels.

B: batch, F: frames, S: side of the square picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tubelet.recipes.camera_motion.flow import RATES, rates_of
from tubelet.recipes.camera_motion.generator import Sample
from tubelet.recipes.camera_motion.moves import AMBIGUOUS, HEADS


class Batch(NamedTuple):
    """Clips and all that is known of them."""

    clips: Tensor
    """uint8 (B, F, 3, S, S)"""
    labels: Tensor
    """(B, heads)"""
    flow: Tensor
    """(B, T, H, W, 2): see `picture_flow`."""
    rates: Tensor
    """(B, 5): see `rates_of`."""

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Batch":
        """A batch of generated samples."""
        return cls(
            torch.stack([sample.frames for sample in samples]),
            torch.tensor([sample.motion.classes() for sample in samples]),
            torch.stack([sample.flow for sample in samples]),
            torch.stack([rates_of(sample.motion) for sample in samples]),
        )


def swap(labels: Tensor, *heads: str) -> Tensor:
    """Labels (B, heads) with the two directions of some heads exchanged; ambiguous stays ambiguous."""
    labels = labels.clone()
    for head in heads:
        column = list(HEADS).index(head)
        known = labels[:, column] != AMBIGUOUS
        labels[:, column] = torch.where(known, 2 - labels[:, column], labels[:, column])
    return labels


def random_symmetry(batch: Batch, generator: torch.Generator) -> Batch:
    """Each clip as one of its eight mirror images (left-right, up-down, back in time), with its labels.

    A mirror swaps pan or tilt, and roll; a clip played backwards swaps every move. Shake and cuts stay.
    """
    clips, labels, flow, rates = (tensor.clone() for tensor in batch)
    mirrors = (
        (4, 3, ("pan", "roll"), (-1.0, 1.0)),
        (3, 2, ("tilt", "roll"), (1.0, -1.0)),
        (1, 1, ("pan", "tilt", "zoom", "roll"), (-1.0, -1.0)),
    )
    for clip_axis, flow_axis, heads, signs in mirrors:
        chosen = torch.rand(len(clips), generator=generator) < 0.5
        clips[chosen] = clips[chosen].flip(clip_axis)
        labels[chosen] = swap(labels[chosen], *heads)
        flow[chosen] = flow[chosen].flip(flow_axis) * torch.tensor(signs)
        turned = torch.tensor([-1.0 if head in heads else 1.0 for head in RATES])
        rates[chosen] = rates[chosen] * turned
    return Batch(clips, labels, flow, rates)
