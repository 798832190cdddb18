"""Clips whose label is in one place and at one moment, and models that have learned to see it."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT

LABELS = Labels.single(("rows", "columns", "squares"))
PATTERNS = torch.tensor(
    [
        [[1, 1, 1, 1], [-1, -1, -1, -1], [1, 1, 1, 1], [-1, -1, -1, -1]],
        [[1, -1, 1, -1], [1, -1, 1, -1], [1, -1, 1, -1], [1, -1, 1, -1]],
        [[1, 1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1], [-1, -1, 1, 1]],
    ]
)


def marked_clips(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with one 4x4 pattern in one of the 4x4x4 places: clips (B, 4, 1, 16, 16), classes, places."""
    clips = torch.randn(count, 4, 1, 16, 16, generator=generator) * 0.5
    truth = torch.randint(3, (count,), generator=generator)
    places = torch.randint(64, (count,), generator=generator)
    tubelets = clips.view(count, 4, 4, 4, 4, 4).permute(0, 1, 2, 4, 3, 5).flatten(1, 3)  # (B, T*H*W, 4, 4)
    tubelets[torch.arange(count), places] = PATTERNS[truth] * 1.5
    clips = tubelets.view(count, 4, 4, 4, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(count, 4, 1, 16, 16)
    return clips, truth, places


def tiny(attention: str, pool: str) -> ViViTConfig:
    """A model of 64 tubelets."""
    temporal = {"temporal_depth": 1} if attention == "factorised_encoder" else {}
    return ViViTConfig(
        attention=attention, classes=(3,), frames=4, size=16, channels=1, tubelet=(1, 4, 4), width=32, depth=2,
        heads=4, hidden=64, pool=pool, **temporal,
    )  # fmt: skip


def random_model(config: ViViTConfig) -> ViViT:
    """One that has learned nothing."""
    generator = torch.Generator().manual_seed(5)
    model = ViViT(config, generator)
    torch.nn.init.normal_(model.head.weight, generator=generator)
    return model.eval()


@cache
def trained_model(config: ViViTConfig, steps: int = 120) -> ViViT:
    """One that tells the patterns apart."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small wait for each other's threads longer than they compute
    try:
        return _learned(config, steps)
    finally:
        torch.set_num_threads(threads)


def _learned(config: ViViTConfig, steps: int) -> ViViT:
    model = ViViT(config, torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        clips, truth, _ = marked_clips(64, generator)
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        optimizer.zero_grad()
        F.cross_entropy(model(clips), truth).backward()
        optimizer.step()
    return model.eval()


def log_odds(classes: Tensor) -> Callable[[Tensor], Tensor]:
    """What `explain` explains, of one class of each clip."""

    def answer(logits: Tensor) -> Tensor:
        own = logits.gather(1, classes[:, None])[:, 0]
        return own - logits.scatter(1, classes[:, None], float("-inf")).logsumexp(dim=1)

    return answer
