"""What a virtual camera does in a window, what it is called, and the warp that shows it.

The camera looks at a plane. Lengths are in widths of its frame, x points right and y points down, so a frame
of aspect `a` (width / height) spans [-1/2, 1/2] x [-1/(2a), 1/(2a)] around the camera's own axes.

Signs, everywhere in this package:

| rate | positive means the camera | and the picture content |
| --- | --- | --- |
| pan | turns right | moves to the left |
| tilt | turns up | moves down |
| zoom | zooms in | grows |
| roll | rolls clockwise (seen from behind it) | turns counter-clockwise |

F: frames, S: side of the squashed square picture.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

HEADS: dict[str, tuple[str, ...]] = {
    "pan": ("left", "none", "right"),
    "tilt": ("down", "none", "up"),
    "zoom": ("out", "none", "in"),
    "roll": ("left", "none", "right"),
    "shake": ("no", "yes"),
    "cut": ("no", "yes"),
}
"""Heads in the order of the model's outputs, and their classes."""

BANDS: dict[str, tuple[float, float]] = {
    "pan": (0.03, 0.10),
    "tilt": (0.03, 0.10),
    "zoom": (0.03, 0.10),
    "roll": (math.radians(1.5), math.radians(5)),
    "shake": (0.003, 0.012),
}
"""Per head: at most the first number is `none` (or `no`), at least the second is a move; between is ambiguous.
Pan and tilt in widths per second, zoom in log-factor per second, roll in radians per second: each the mean
over the window. Shake: root mean square of the offsets about the smooth path, in widths."""

STRONGEST: dict[str, float] = {"pan": 0.6, "tilt": 0.6, "zoom": 0.6, "roll": math.radians(40), "shake": 0.05}
"""The strongest moves that are drawn, in the units of `BANDS`."""

AMBIGUOUS = -1
"""The class of a move inside the band: no class. Loss and score leave it out."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What the camera does in one window. All zeros: a camera on a tripod."""

    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0
    roll: float = 0.0
    shake: float = 0.0
    cut: float | None = None
    """Place of the cut in the window, in (0, 1), or None. The same move goes on after it: both sides share
    the labels of the other heads."""

    def classes(self) -> tuple[int, ...]:
        """Class of every head, in the order of `HEADS`; `AMBIGUOUS` inside a band."""
        moves = [three_way(getattr(self, head), *BANDS[head]) for head in ("pan", "tilt", "zoom", "roll")]
        shake = three_way(self.shake, *BANDS["shake"])
        return (*moves, shake - 1 if shake != AMBIGUOUS else AMBIGUOUS, int(self.cut is not None))

    def mirrored(self) -> "Motion":
        """What the same clip shows after a left-right flip: pan and roll swap sides, nothing else."""
        return replace(self, pan=-self.pan, roll=-self.roll)


def three_way(rate: float, none: float, move: float) -> int:
    """0, 1 or 2 for a negative, no or a positive rate; `AMBIGUOUS` between the two limits."""
    if abs(rate) <= none:
        return 1
    if abs(rate) < move:
        return AMBIGUOUS
    return 2 if rate > 0 else 0


def draw_motion(
    rng: np.random.Generator, *, ambiguous: float = 0.05, easiest: float = 0.0, single: float = 0.0
) -> Motion:
    """A random motion: any set of moves at once, or none.

    Args:
        rng: the only source of chance.
        ambiguous: share of the draws of an axis that lie inside the band.
        easiest: raises the weakest moves from the band's end (0) towards the strongest (1).
        single: share of the clips with exactly one of pan, tilt, zoom and roll.
    """
    moving = rng.random() < 0.85
    chance = rng.choice([0.25, 0.5, 0.75])
    rates = {h: draw_rate(rng, h, chance if moving else 0.0, ambiguous, easiest) for h in STRONGEST}
    if single and rng.random() < single:
        only = str(rng.choice(["pan", "tilt", "zoom", "roll"]))
        rates = {h: draw_rate(rng, h, float(h == only), 0.0, easiest) for h in STRONGEST}
    if rng.random() < 0.4:  # shake is independent of the moves
        rates["shake"] = draw_rate(rng, "shake", 1.0, ambiguous, easiest)
    else:
        rates["shake"] = float(rng.uniform(0, BANDS["shake"][0])) * float(rng.random() < 0.7)
    rates["shake"] = abs(rates["shake"])
    return Motion(**rates, cut=float(rng.uniform(0.1, 0.9)) if rng.random() < 0.25 else None)


def draw_rate(rng: np.random.Generator, head: str, chance: float, ambiguous: float, easiest: float) -> float:
    """A signed rate for one head: a move with probability `chance`, else none, and a few inside the band."""
    none, move = BANDS[head]
    weakest = move * (STRONGEST[head] / move) ** easiest
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if rng.random() < ambiguous:
        return sign * float(rng.uniform(none, move))
    if rng.random() < chance:  # log-uniform: as many weak moves as strong ones
        return sign * float(weakest * (STRONGEST[head] / weakest) ** rng.random())
    return sign * none * float(rng.random()) * float(rng.random() < 0.6)


@dataclass(frozen=True)
class Path:
    """Where the camera is over a window, on a fine grid of moments; `at` reads any moment."""

    seconds: Array
    """(N,)"""
    pose: Array
    """(N, 4): x and y of the centre in widths of the first frame, log zoom factor, roll in radians."""

    def at(self, seconds: Array) -> Array:
        """(M, 4): the pose at the given moments, linearly interpolated."""
        return np.stack([np.interp(seconds, self.seconds, column) for column in self.pose.T], axis=1)


STEPS_PER_SECOND = 96


def camera_path(rng: np.random.Generator, motion: Motion, duration_seconds: float) -> Path:
    """A smooth path with `motion`'s mean rates, its speed rising and falling, plus its hand shake."""
    margin = 0.25  # moments around the window: shutter and frame times may reach out of it
    seconds = np.arange(-margin, duration_seconds + margin, 1 / STEPS_PER_SECOND)
    inside = (seconds >= 0) & (seconds < duration_seconds)
    rates = np.array([motion.pan, -motion.tilt, motion.zoom, motion.roll])
    shared = speed_profile(rng, seconds / duration_seconds, inside)
    speed = np.stack(
        [
            shared if rng.random() < 0.5 else speed_profile(rng, seconds / duration_seconds, inside)
            for _ in rates
        ],
        axis=1,
    )
    steps = rates * speed / STEPS_PER_SECOND
    zoom, roll = np.cumsum(steps[:, 2]), np.cumsum(steps[:, 3])
    # Pan and tilt go along the camera's own axes and count in its present width.
    cos, sin, width = np.cos(roll), np.sin(roll), np.exp(-zoom)
    dx = (cos * steps[:, 0] - sin * steps[:, 1]) * width
    dy = (sin * steps[:, 0] + cos * steps[:, 1]) * width
    pose = np.stack([np.cumsum(dx), np.cumsum(dy), zoom, roll], axis=1)
    pose = (
        pose
        + hand_shake(rng, motion.shake, seconds, inside)
        * np.stack([width, width, width * 0 + 1], 1)[:, [0, 1, 2, 2]]
    )
    start = int(np.argmax(inside))
    return Path(seconds, pose - pose[start] * np.array([0, 0, 1, 0]))


def speed_profile(rng: np.random.Generator, place: Array, inside: NDArray[np.bool_]) -> Array:
    """Relative speed over the window (mean 1): constant, swelling, or easing in and out of a part of it."""
    kind = rng.integers(4)
    if kind == 0:
        speed = np.ones_like(place)
    elif kind == 1:
        speed = 1 + rng.uniform(0.2, 0.8) * np.sin(2 * np.pi * (place * rng.uniform(0.3, 1.2) + rng.random()))
    else:
        first, length, ramp = rng.uniform(-0.2, 0.25), rng.uniform(0.7, 1.3), rng.uniform(0.05, 0.4)
        rise = np.clip((place - first) / ramp, 0, 1)
        fall = np.clip((first + length - place) / ramp, 0, 1)
        speed = np.minimum(rise, fall)
        speed = speed * speed * (3 - 2 * speed)
    return speed / speed[inside].mean()


def hand_shake(rng: np.random.Generator, rms: float, seconds: Array, inside: NDArray[np.bool_]) -> Array:
    """(N, 4) offsets of a hand: x and y of root mean square `rms` widths together, no zoom, a little roll."""
    offsets = np.zeros((len(seconds), 4))
    if rms == 0:
        return offsets
    slope = rng.uniform(0.3, 1.2)
    for column, weight in ((0, rng.uniform(0.5, 1)), (1, rng.uniform(0.5, 1)), (3, rng.uniform(0.2, 1))):
        hertz = np.exp(rng.uniform(np.log(1.2), np.log(6), size=5))
        phase = rng.uniform(0, 2 * np.pi, size=5)
        waves = np.sin(2 * np.pi * np.outer(seconds, hertz) + phase) * hertz**-slope
        offsets[:, column] = weight * waves.sum(axis=1)
    offsets -= offsets[inside].mean(axis=0)
    offsets *= rms / np.sqrt((offsets[inside, :2] ** 2).sum(axis=1).mean())
    offsets[:, 3] *= 0.5
    return offsets


def frame_moments(rng: np.random.Generator, frames: int, duration_seconds: float) -> Array:
    """(F,) moments at which a window's frames were really taken: the nearest frames of a camera of some rate."""
    fps = float(rng.choice([12.5, 15, 24, 25, 29.97, 30, 50, 60]))
    wanted = np.arange(frames) * duration_seconds / frames
    phase = rng.random() / fps
    return np.round((wanted - phase) * fps) / fps + phase


def picture_matrices(pose: Array, aspect: float) -> Array:
    """(F, 2, 3): maps from squashed picture coordinates in [-1, 1] (x, y, 1) to the plane, in widths."""
    x, y, zoom, roll = pose.T
    cos, sin, scale = np.cos(roll), np.sin(roll), np.exp(-zoom)
    half_width, half_height = 0.5 * scale, 0.5 * scale / aspect
    rows = [cos * half_width, -sin * half_height, x, sin * half_width, cos * half_height, y]
    return np.stack(rows, axis=1).reshape(-1, 2, 3)


def picture_grid(side: int) -> Tensor:
    """(S*S, 3): squashed picture coordinates (x, y, 1) of every pixel centre, row by row."""
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
