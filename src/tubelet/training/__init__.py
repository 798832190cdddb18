"""Training: a run as a value, and the loop that runs it."""

from tubelet.training.config import Frozen, ImageStart, Optimizer, Train
from tubelet.training.loop import train

__all__ = ["Frozen", "ImageStart", "Optimizer", "Train", "train"]
