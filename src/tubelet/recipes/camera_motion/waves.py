"""How the model starts: tubelet filters that are travelling waves."""

import math

import torch

from tubelet.models.vivit import ViViT


@torch.no_grad()
def start_from_waves(model: ViViT, generator: torch.Generator) -> None:
    """Start the tubelet filters as plane waves that travel, in pairs a quarter of a wave apart, without mean.

    A still camera and a panning one then differ in the very first tokens, as in the motion-energy model of
    Adelson and Bergen (1985); from white noise the same model needs many more steps to find motion at all.
    """
    weight = model.embedding.weight  # (D, 3, t, h, w)
    count, _, frames, height, width = weight.shape
    half = (count + 1) // 2
    draw = torch.rand(5, half, generator=generator)
    frequency = 0.04 * 6 ** draw[0]  # cycles per pixel
    angle = 2 * math.pi * draw[1]
    speed = 1.5 * torch.randn(half, generator=generator)  # pixels per frame, along the wave
    t, y, x = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in (frames, height, width)), indexing="ij")
    along = angle.cos()[:, None, None, None] * x + angle.sin()[:, None, None, None] * y
    cycles = frequency[:, None, None, None] * (along - speed[:, None, None, None] * t)
    phase = draw[2, :, None, None, None]
    waves = torch.stack(
        [torch.cos(2 * math.pi * (cycles + phase + quarter)) for quarter in (0.0, 0.25)], dim=1
    )
    waves = waves.flatten(0, 1)[:count] * torch.cos(math.pi * t / (frames + 1))
    waves = waves - waves.mean((1, 2, 3), keepdim=True)
    colours = torch.tensor([0.3, 0.6, 0.1]) + 0.15 * torch.randn(count, 3, generator=generator)
    waves = waves[:, None] * colours[:, :, None, None, None]
    weight.copy_(waves / waves.flatten(1).norm(dim=1)[:, None, None, None, None])
