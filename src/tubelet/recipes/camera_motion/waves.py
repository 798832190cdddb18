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
    weight.copy_(0.5 * waves / waves.flatten(1).norm(dim=1)[:, None, None, None, None])
    start_from_energies(model, generator)


def start_from_energies(model: ViViT, generator: torch.Generator) -> None:
    """Let the first block start with the strength of each wave, and the second with the sides of the picture.

    The strength of a travelling wave tells motion whatever the phase; a linear readout of these strengths alone
    finds pan and tilt (and, summed by place, zoom and roll), where the waves themselves say nothing. So the first
    block starts without attention and with the absolute values of the waves in its MLP. Positions have features
    of their own (the last sixth), and the heads of the second block start by looking at the right, the left, the
    lower and the upper half.
    """
    assert model.encoder is not None
    assert model.encoder.positions is not None
    config = model.config
    waves = config.width * 5 // 6
    model.embedding.weight[waves:] = 0
    table = model.encoder.positions.table
    table[..., :waves] = 0
    table[..., waves:].normal_(std=0.5, generator=generator)
    steps, rows, columns = config.grid
    y, x = torch.meshgrid(*((torch.arange(n) + 0.5) * 2 / n - 1 for n in (rows, columns)), indexing="ij")
    table[0, :, waves], table[0, :, waves + 1] = x.flatten().repeat(steps), y.flatten().repeat(steps)
    first, second = (model.encoder.blocks[i] for i in (0, 1))
    first.get_submodule("attention.layer.out").get_parameter("weight").zero_()
    fc1 = first.get_submodule("mlp.layer.fc1").get_parameter("weight")
    both = min(waves, len(fc1) // 2)  # waves whose positive and negative parts fit into the hidden layer
    fc1[: 2 * both] = 0
    fc1[:both, :both], fc1[both : 2 * both, :both] = 2 * torch.eye(both), -2 * torch.eye(both)
    first.get_submodule("mlp.layer.fc2").get_parameter("weight")[waves:] = 0
    query, key = (second.get_submodule(f"attention.layer.{part}") for part in ("query", "key"))
    size = config.width // config.heads
    for linear in (query, key):
        linear.get_parameter("weight").mul_(0.2)
        linear.get_parameter("weight")[::size] = 0
    query.get_parameter("bias")[::size] = 1
    sides = ((waves, 25.0), (waves, -25.0), (waves + 1, 25.0), (waves + 1, -25.0))
    for head, (feature, gain) in enumerate(sides[: config.heads]):
        key.get_parameter("weight")[head * size, feature] = gain
