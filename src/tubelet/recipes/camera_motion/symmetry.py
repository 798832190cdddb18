"""Mirror images of clips in space and time, with their labels.

B: batch, F: frames, S: side of the square picture.
"""

import torch
from torch import Tensor

from tubelet.recipes.camera_motion.moves import AMBIGUOUS, HEADS


def swap(labels: Tensor, *heads: str) -> Tensor:
    """Labels (B, heads) with the two directions of some heads exchanged; ambiguous stays ambiguous."""
    labels = labels.clone()
    for head in heads:
        column = list(HEADS).index(head)
        known = labels[:, column] != AMBIGUOUS
        labels[:, column] = torch.where(known, 2 - labels[:, column], labels[:, column])
    return labels


def random_symmetry(clips: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each clip as one of its eight mirror images (left-right, up-down, back in time), with its labels.

    A mirror swaps pan or tilt, and roll; a clip played backwards swaps every move. Shake and cuts stay.
    """
    clips, labels = clips.clone(), labels.clone()
    mirrors = ((-1, ("pan", "roll")), (-2, ("tilt", "roll")), (1, ("pan", "tilt", "zoom", "roll")))
    for axis, heads in mirrors:
        chosen = torch.rand(len(clips), generator=generator) < 0.5
        clips[chosen] = clips[chosen].flip(axis)
        labels[chosen] = swap(labels[chosen], *heads)
    return clips, labels
