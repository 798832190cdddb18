"""An exponential moving average of the weights (Polyak and Juditsky 1992), beside those that learn."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average of the parameters of a model that learn.

    Early on it forgets faster than `decay` says, as `(1 + updates) / (10 + updates)`, so that the weights of the
    beginning do not stay in it.

    Args:
        model: what learns; the average starts at its weights.
        decay: how much of the average stays at an update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().clone() for name, p in self.learning.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now: once after each step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, parameter in self.learning.items():
            self.weights[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Inside, the model has the average for its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state(self) -> dict[str, int | dict[str, Tensor]]:
        """What a checkpoint keeps."""
        return {"updates": self.updates, "weights": self.weights}

    @torch.no_grad()
    def load(self, updates: int, weights: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.updates = updates
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self.learning.items():
            learned = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(learned)
