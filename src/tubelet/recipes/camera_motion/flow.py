"""Dense lessons: beside its label, a clip tells every token how the picture moves at its place.

A label is a few bits for a whole clip; the motion at 32 places and the rates themselves are far more, so the
model finds motion in a fraction of the clips. The layers that learn this are dropped after training.

B: batch, D: width, T H W: grid of tubelets, N = T*H*W.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion.moves import STRONGEST, Array, Motion

RATES = ("pan", "tilt", "zoom", "roll", "shake")
FLOW_SCALE = 0.5
"""Half widths per second: about the spread of the flow."""


def picture_flow(matrices: Array, moments: Array, cut: int, grid: tuple[int, int, int]) -> Tensor:
    """(T, H, W, 2): mean velocity of the content at the middle of every tubelet, in half pictures per second.

    Args:
        matrices: (F, 2, 3) of `picture_matrices`.
        moments: (F,) seconds.
        cut: index of the first frame after the cut; the step over it does not count.
        grid: tubelets along time, height and width.
    """
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * 2 / n - 1 for n in grid[1:]), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])  # (3, P)
    plane = matrices[:-1] @ points  # (F - 1, 2, P): what lies there now ...
    later = np.linalg.solve(matrices[1:, :, :2], plane - matrices[1:, :, 2:])  # ... and where it is seen next
    velocity = (later - points[:2]) / np.diff(moments).clip(1e-3)[:, None, None]
    step = np.arange(len(velocity))
    rows: list[Array] = []
    for part in np.array_split(np.arange(len(matrices)), grid[0]):
        chosen = (step >= part[0]) & (step < part[-1]) & (step + 1 != cut)
        rows.append(velocity[chosen].mean(0) if chosen.any() else np.zeros_like(velocity[0]))
    flow = np.stack(rows).transpose(0, 2, 1).reshape(*grid, 2)
    return torch.from_numpy(flow).float()


def rates_of(motion: Motion) -> Tensor:
    """(5,): the rates of pan, tilt, zoom, roll and shake, each about 1 for a strong move.

    Square roots, signed: the step from none to a weak move counts as much as from there to a strong one.
    """
    values = [getattr(motion, head) / STRONGEST[head] for head in RATES]
    return torch.tensor([float(np.sign(v) * abs(v) ** 0.5) for v in values])


class DenseLesson(nn.Module):
    """Reads the flow from each token after the first block, the rates after the second and from the last.

    Hooks itself to a model: call it after the model's forward pass.
    """

    def __init__(self, model: ViViT) -> None:
        super().__init__()
        width = model.config.width
        self.flow = nn.Linear(width, 2)
        self.early_rates = nn.Linear(width, len(RATES))
        self.rates = nn.Linear(width, len(RATES))
        self.seen: dict[str, Tensor] = {}
        assert model.encoder is not None
        model.encoder.blocks[0].register_forward_hook(self.keep("local"))
        model.encoder.blocks[1].register_forward_hook(self.keep("early"))
        model.encoder.register_forward_hook(self.keep("last"))

    def keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        """A hook that keeps a module's output."""

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.seen[name] = output

        return hook

    def forward(self, flow: Tensor, rates: Tensor) -> Tensor:
        """The lesson's loss for flow (B, T, H, W, 2) and rates (B, 5)."""
        local = F.smooth_l1_loss(
            self.flow(F.layer_norm(self.seen["local"], (self.flow.in_features,))),
            flow.flatten(1, 3) / FLOW_SCALE,
        )
        early = self.early_rates(F.layer_norm(self.seen["early"], (self.flow.in_features,)))
        early_loss = F.smooth_l1_loss(early, rates[:, None].expand(-1, early.shape[1], -1))
        whole = F.smooth_l1_loss(self.rates(self.seen["last"].mean(1)), rates)
        return 4 * (local + early_loss + whole)
