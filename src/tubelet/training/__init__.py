"""Training: a run as a value, and the loop that runs it."""

from tubelet.training.config import Frozen, Optimizer, Partial, Pretrained, Train
from tubelet.training.loop import train

__all__ = ["Frozen", "Optimizer", "Partial", "Pretrained", "Train", "train"]
