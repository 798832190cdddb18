"""What the virtual camera looks at: photographs that other packages ship, and procedural textures.

A plate is one picture of the plane as a pyramid, so that a far camera reads a small level and nothing aliases.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from tubelet.errors import DataError

SIDE = 512
"""Pixels of a plate's shorter side."""

PHOTOGRAPHS: dict[str, tuple[str, str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png", "public domain (NASA)"),
    "brick": ("skimage", "data/brick.png", "CC0 (CC0Textures)"),
    "camera": ("skimage", "data/camera.png", "CC0 (Lav Varshney)"),
    "chelsea": ("skimage", "data/chelsea.png", "CC0 (Stefan van der Walt)"),
    "coffee": ("skimage", "data/coffee.png", "CC0 (Rachel Michetti)"),
    "coins": ("skimage", "data/coins.png", "no known restrictions (Brooklyn Museum)"),
    "grass": ("skimage", "data/grass.png", "CC0 (Linolafett)"),
    "gravel": ("skimage", "data/gravel.png", "CC0 (CC0Textures)"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg", "public domain (NASA, HubbleSite)"),
    "ihc": ("skimage", "data/ihc.png", "no known restrictions (CMM, Charles University)"),
    "moon": ("skimage", "data/moon.png", "public domain (NASA)"),
    "retina": ("skimage", "data/retina.jpg", "CC0 (Mikael Haggstrom)"),
    "rocket": ("skimage", "data/rocket.jpg", "CC0 (SpaceX)"),
    "china": ("sklearn", "datasets/images/china.jpg", "CC BY 2.0 (danielbuechele)"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "CC BY 2.0 (vultilion)"),
}
"""Name: (package that ships it, file, licence)."""

HELD_OUT = ("chelsea", "china", "coffee", "rocket")
"""Photographs that training leaves to validation."""


@dataclass(frozen=True)
class Plate:
    """One picture of the plane."""

    levels: tuple[Tensor, ...]
    """Each (1, 3, H, W) float in [0, 255], half as large as the one before."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the finest level."""
        return self.levels[0].shape[2], self.levels[0].shape[3]


def plate_of(picture: Tensor) -> Plate:
    """The pyramid of a uint8 (3, H, W) picture, down to 32 pixels."""
    level = picture[None].float()
    levels = [level]
    while min(level.shape[2:]) >= 64:
        level = F.avg_pool2d(level, 2)
        levels.append(level)
    return Plate(tuple(levels))


def read_photograph(name: str) -> Tensor:
    """One of `PHOTOGRAPHS` as uint8 (3, H, W), its shorter side `SIDE`.

    Raises:
        DataError: where the package that ships it is missing.
    """
    package, file, _ = PHOTOGRAPHS[name]
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.exists():
        raise DataError(
            f"Photograph {name!r} comes with {package}, which is not installed (or no longer ships {file}): "
            'pip install "tubelet[photographs]".'
        )
    with Image.open(path) as image:
        scale = SIDE / min(image.size)
        size = (math.ceil(image.width * scale), math.ceil(image.height * scale))
        array = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()


def random_colours(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """(count, 3) colours around a few hues: what one picture holds."""
    base = rng.integers(0, 256, size=(int(rng.integers(2, 6)), 3))
    spread = rng.uniform(5, 60)
    return np.clip(
        base[rng.integers(len(base), size=count)] + rng.normal(0, spread, (count, 3)), 0, 255
    ).astype(int)


def dead_leaves(rng: np.random.Generator) -> Tensor:
    """Discs and boxes over each other, their sizes after a power law: edges as in photographs."""
    image = Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    smallest = rng.uniform(3, 12)
    radii = np.minimum(smallest * (1 - rng.random(1500)) ** (-1 / rng.uniform(0.8, 2)), SIDE / 4)
    radii = np.sort(radii)[::-1] if rng.random() < 0.5 else radii
    centres = rng.uniform(-20, SIDE + 20, size=(len(radii), 2))
    squash = np.exp(rng.normal(0, 0.4, len(radii)))
    box = rng.random(len(radii)) < rng.choice([0.0, 0.5, 1.0])
    for (x, y), r, q, is_box, colour in zip(
        centres, radii, squash, box, random_colours(rng, len(radii)), strict=True
    ):
        corners = (x - r * q, y - r / q, x + r * q, y + r / q)
        (draw.rectangle if is_box else draw.ellipse)(corners, fill=tuple(int(c) for c in colour))
    return picture_of(image)


def polygons(rng: np.random.Generator) -> Tensor:
    """Large flat polygons over a gradient, and some lines: rooms, streets, screens."""
    ramp = np.linspace(0, 1, SIDE)[:, None, None] * np.ones((1, SIDE, 1))
    ends = random_colours(rng, 2)
    image = Image.fromarray((ends[0] * ramp + ends[1] * (1 - ramp)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for colour in random_colours(rng, int(rng.integers(8, 60))):
        centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(10, 150)
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(
            0.3, 1, (len(angles), 1)
        )
        fill = tuple(int(c) for c in colour)
        if rng.random() < 0.75:
            draw.polygon([tuple(p) for p in points.tolist()], fill=fill)
        else:
            draw.line([tuple(p) for p in points.tolist()], fill=fill, width=int(rng.integers(1, 9)))
    return picture_of(image)


def noise(rng: np.random.Generator) -> Tensor:
    """Noise with a 1/f^a spectrum, the channels partly alike: clouds, foliage, walls."""
    power = rng.uniform(0.8, 1.9)
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    f[0, 0] = 1
    shape = (3, *f.shape)
    spectrum = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    spectrum[1:] = rng.uniform(0.3, 1) * spectrum[:1] + spectrum[1:] * rng.uniform(0, 0.5)
    waves = np.fft.irfft2(spectrum / f**power, s=(SIDE, SIDE))
    waves = (waves - waves.mean((1, 2), keepdims=True)) / waves.std()
    levels = waves * rng.uniform(20, 60) + random_colours(rng, 1).T[:, :, None]
    return torch.from_numpy(np.clip(levels, 0, 255).astype(np.uint8))


def mixture(rng: np.random.Generator) -> Tensor:
    """Two textures in the regions of a third: fine and coarse detail in one picture."""
    kinds = [dead_leaves, polygons, noise]
    one, two = (kinds[int(rng.integers(3))](rng).float() for _ in range(2))
    weight = torch.sigmoid((noise(rng).float().mean(0) - 128) / float(rng.uniform(2, 40)))
    return (one * weight + two * (1 - weight)).to(torch.uint8)


TEXTURES: tuple[Callable[[np.random.Generator], Tensor], ...] = (dead_leaves, polygons, noise, mixture)


def picture_of(image: Image.Image) -> Tensor:
    """A PIL picture as uint8 (3, H, W)."""
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).contiguous()


def make_plates(seed: int, *, textures: int, photographs: tuple[str, ...]) -> list[Plate]:
    """The photographs' plates, then `textures` procedural ones drawn from `seed`."""
    plates = [plate_of(read_photograph(name)) for name in photographs]
    for index in range(textures):
        rng = np.random.default_rng([seed, index])
        plates.append(plate_of(TEXTURES[index % len(TEXTURES)](rng)))
    return plates
