"""From clips to classes, and from classes to losses and scores.

N: clips, B: batch, F: frames, S: side of the square picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion.moves import AMBIGUOUS, HEADS

CLASSES = tuple(len(names) for names in HEADS.values())


def as_input(clips: Tensor) -> Tensor:
    """uint8 frames as the model takes them: float in [-1, 1]."""
    return clips.float() / 127.5 - 1


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over the heads of the cross-entropies, every class of a head counting the same, as in the score.

    Ambiguous moves do not count.
    """
    losses: list[Tensor] = []
    for head, part in zip(labels.T, logits.split(CLASSES, dim=1), strict=True):
        known = head != AMBIGUOUS
        chosen = F.one_hot(head[known], part.shape[1]).float()  # (known, classes)
        each = -(F.log_softmax(part[known], dim=1) * chosen).sum(0) / chosen.sum(0).clamp(min=1)
        losses.append(each.sum() / (chosen.sum(0) > 0).sum().clamp(min=1))
    return torch.stack(losses).sum()


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """Per head: the mean over its classes of the share found; ambiguous moves do not count."""
    result: dict[str, float] = {}
    for head, found, truth in zip(HEADS, predicted.T, labels.T, strict=True):
        shares = [
            (found[truth == c] == c).float().mean() for c in range(len(HEADS[head])) if (truth == c).any()
        ]
        result[head] = float(torch.stack(shares).mean()) if shares else float("nan")
    return result


@torch.inference_mode()
def predict(model: ViViT, clips: Tensor, batch: int = 64) -> Tensor:
    """(N, heads) classes of uint8 clips (N, F, 3, S, S)."""
    model.eval()
    logits = torch.cat([model(as_input(part)) for part in clips.split(batch)])
    return torch.stack([part.argmax(1) for part in logits.split(CLASSES, dim=1)], dim=1)
