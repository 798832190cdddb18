"""How the model starts: as a motion-energy model whose readouts are fitted by least squares.

From random weights this model finds pan and tilt after many steps and zoom and roll not at all: what tells them
is a small difference between places, which the first steps wash out. Motion is a classical matter, so the model
starts with the classical answer (Adelson and Bergen 1985) in its own layers, and learns the rest:

| part | starts as |
| --- | --- |
| tubelet embedding | travelling waves, in pairs a quarter of a wave apart |
| MLP of block 0 | the strength of each wave, and from these the local flow, fitted to some clips |
| attention of block 1 | the mean flow of the right, left, lower and upper side, brought to every token |
| head | fitted to some clips |

N: clips, D: width, T H W: grid of tubelets.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion.flow import FLOW_SCALE
from tubelet.recipes.camera_motion.scoring import CLASSES, as_input
from tubelet.recipes.camera_motion.symmetry import Batch


class Features(NamedTuple):
    """What the D features of a token hold at the start; what is left over holds random positions."""

    waves: int
    """Responses to the waves: features 0 to `waves`."""
    place: tuple[int, int]
    """x and y of the tubelet, in [-1, 1] times some gain."""
    flow: tuple[int, int]
    """x and y of the local flow."""
    sides: tuple[int, ...]
    """x and y of the mean flow of the right, left, lower and upper side."""
    constant: int
    """A large constant, written by block 0: with it, the later layer norms scale all tokens alike."""

    @classmethod
    def of(cls, width: int) -> "Features":
        """The layout for a width."""
        first = width * 5 // 12 * 2
        return cls(
            first,
            (first, first + 1),
            (first + 2, first + 3),
            tuple(range(first + 4, first + 12)),
            width - 1,
        )


def start_from_motion(model: ViViT, batch: Batch, generator: torch.Generator) -> None:
    """Start a new model as the table above says.

    Args:
        model: Model 1 of at least two blocks and four heads, pooling by the mean.
        batch: clips to which the readouts are fitted; some hundred.
        generator: source of the random parts.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        start_waves(model, generator)
        start_energies(model, generator)
        fit_flow(model, batch)
        start_sides(model)
        fit_head(model, batch)
    model.train(training)


def start_waves(model: ViViT, generator: torch.Generator) -> None:
    """The tubelet filters as plane waves that travel, in pairs a quarter of a wave apart, without mean."""
    weight = model.embedding.weight  # (D, 3, t, h, w)
    count = Features.of(len(weight)).waves
    half, (frames, height, width) = count // 2, weight.shape[2:]
    draw = torch.rand(3, half, generator=generator)
    frequency = 0.04 * 6 ** draw[0]  # cycles per pixel
    angle = 2 * math.pi * draw[1]
    speed = 1.5 * torch.randn(half, generator=generator)  # pixels per frame, along the wave
    t, y, x = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in (frames, height, width)), indexing="ij")
    along = angle.cos()[:, None, None, None] * x + angle.sin()[:, None, None, None] * y
    cycles = frequency[:, None, None, None] * (along - speed[:, None, None, None] * t)
    phase = draw[2, :, None, None, None]
    waves = torch.stack([torch.cos(2 * math.pi * (cycles + phase + quarter)) for quarter in (0, 0.25)], dim=1)
    waves = waves.flatten(0, 1) * torch.cos(math.pi * t / (frames + 1))
    waves = waves - waves.mean((1, 2, 3), keepdim=True)
    grey = torch.tensor([0.3, 0.6, 0.1])[:, None, None, None]
    weight.zero_()
    weight[:count] = 3 * F.normalize(waves.flatten(1)).view_as(waves)[:, None] * grey


def start_energies(model: ViViT, generator: torch.Generator) -> None:
    """Positions in features of their own; block 0 without attention, its MLP seeing waves without their sign."""
    assert model.encoder is not None
    assert model.encoder.positions is not None
    features = Features.of(model.config.width)
    table = model.encoder.positions.table  # (1, T*H*W, D)
    table.zero_()
    table[..., features.sides[-1] + 1 : features.constant].normal_(std=0.5, generator=generator)
    block = model.encoder.blocks[0]
    block.get_submodule("attention.layer.out").get_parameter("weight").zero_()
    fc1 = block.get_submodule("mlp.layer.fc1").get_parameter("weight")
    both = min(
        features.waves, len(fc1) // 2
    )  # waves whose positive and negative parts fit into the hidden layer
    fc1[: 2 * both] = 0
    fc1[:both, :both], fc1[both : 2 * both, :both] = 2 * torch.eye(both), -2 * torch.eye(both)
    block.get_submodule("mlp.layer.fc2").get_parameter("weight")[features.waves :] = 0


def fit_flow(model: ViViT, batch: Batch, gain: float = 3.0, constant: float = 12.0) -> None:
    """Let block 0 write the local flow, by ridge regression on what its hidden layer says of some clips.

    Args:
        model: after `start_energies`.
        batch: the clips.
        gain: size of flow and place in a token, in root mean squares of its features.
        constant: size of the constant feature, likewise.
    """
    assert model.encoder is not None
    assert model.encoder.positions is not None
    features = Features.of(model.config.width)
    block = model.encoder.blocks[0]
    fc2 = block.get_submodule("mlp.layer.fc2")
    hidden: list[Tensor] = []
    squares: list[Tensor] = []
    hooks = (
        fc2.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0])),
        block.register_forward_hook(lambda _, __, tokens: squares.append(tokens.square().mean())),
    )
    for clips in batch.clips.split(64):
        model(as_input(clips))
    for hook in hooks:
        hook.remove()
    root_mean_square = float(torch.stack(squares).mean().sqrt())
    inputs = torch.cat(hidden).flatten(0, 1)
    targets = batch.flow.flatten(0, 3) / FLOW_SCALE
    weight, bias = ridge(inputs, targets, torch.ones(len(inputs)), 0.01)
    size = gain * root_mean_square / (inputs @ weight).std(0)
    rows = list(features.flow)
    fc2.get_parameter("weight")[rows] = (weight * size).T
    fc2.get_parameter("bias")[rows] = bias * size
    fc2.get_parameter("bias")[features.constant] = constant * root_mean_square
    steps, height, width = model.config.grid
    y, x = torch.meshgrid(*((torch.arange(n) + 0.5) * 2 / n - 1 for n in (height, width)), indexing="ij")
    for feature, place in zip(features.place, (x, y), strict=True):
        model.encoder.positions.table[0, :, feature] = gain * root_mean_square * place.flatten().repeat(steps)


def start_sides(model: ViViT, gain: float = 10.0) -> None:
    """Block 1 brings the mean flow of four sides to every token: zoom and roll are their differences."""
    assert model.encoder is not None
    features = Features.of(model.config.width)
    block = model.encoder.blocks[1]
    query, key, value, out = (
        block.get_submodule(f"attention.layer.{part}") for part in ("query", "key", "value", "out")
    )
    size = model.config.width // model.config.heads
    for linear in (query, key):
        linear.get_parameter("weight").mul_(0.2)
        linear.get_parameter("weight")[::size] = 0
    query.get_parameter("bias")[::size] = 1
    x, y = features.place
    out.get_parameter("weight")[list(features.sides)] = 0
    for head, (feature, sign) in enumerate(((x, 1), (x, -1), (y, 1), (y, -1))):
        first = head * size
        key.get_parameter("weight")[first, feature] = sign * gain
        value.get_parameter("weight")[first : first + 2] = 0
        out.get_parameter("weight")[:, first : first + 2] = 0
        for i in (0, 1):
            value.get_parameter("weight")[first + i, features.flow[i]] = 1
            out.get_parameter("weight")[features.sides[2 * head + i], first + i] = 1
    block.get_submodule("mlp.layer.fc2").get_parameter("weight")[features.waves :] = 0


def fit_head(model: ViViT, batch: Batch, scale: float = 4.0) -> None:
    """The head by ridge regression of each class, every class of a head counting the same."""
    found = torch.cat([model.features(as_input(clips)) for clips in batch.clips.split(64)])  # (N, D)
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for labels, classes in zip(batch.labels.T, CLASSES, strict=True):
        known = labels >= 0
        targets = F.one_hot(labels[known], classes).float()
        share = (1 / targets.mean(0).clamp(min=1e-3))[labels[known]]
        weight, bias = ridge(found[known], targets, share, 0.003)
        weights.append(scale * weight.T)
        biases.append(scale * bias)
    model.head.weight.copy_(torch.cat(weights))
    model.head.bias.copy_(torch.cat(biases))


def ridge(inputs: Tensor, targets: Tensor, weights: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Weight (D, K) and bias (K,) that predict targets (N, K) from inputs (N, D), samples weighted by (N,).

    The penalty is `strength` times the mean variance of an input.
    """
    weights = (weights / weights.sum())[:, None]
    centre, mean = (weights * inputs).sum(0), (weights * targets).sum(0)
    inputs, targets = inputs - centre, targets - mean
    covariance = inputs.T @ (weights * inputs)
    penalty = strength * covariance.diagonal().mean() * torch.eye(len(covariance))
    weight = torch.linalg.solve(covariance + penalty, inputs.T @ (weights * targets))
    return weight, mean - centre @ weight
