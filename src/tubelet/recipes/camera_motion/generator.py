"""Endless training clips with known camera motion: sample i of seed s is always the same.

F: frames, S: side of the squashed square picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.recipes.camera_motion.flow import picture_flow
from tubelet.recipes.camera_motion.footage import spoil
from tubelet.recipes.camera_motion.moves import (
    Array,
    Motion,
    Path,
    camera_path,
    draw_motion,
    frame_moments,
    picture_grid,
    picture_matrices,
)
from tubelet.recipes.camera_motion.scenes import Plate


@dataclass(frozen=True, kw_only=True)
class Clips:
    """The settings of the generator."""

    seed: int
    frames: int = 32
    side: int = 48
    duration_seconds: float = 2.0
    grid: tuple[int, int, int] = (4, 4, 4)
    """Tubelets of the model, for `Sample.flow`."""
    easiest: float = 0.0
    """See `draw_motion`."""
    single: float = 0.0
    """See `draw_motion`."""
    harm: float = 1.0
    """Amount of everything that spoils a picture, 0 to 1."""
    objects: float = 1.0
    """Amount of things that move by themselves, 0 to 1."""


@dataclass(frozen=True)
class Sample:
    """One clip and what its camera does."""

    frames: Tensor
    """uint8 (F, 3, S, S)"""
    motion: Motion
    flow: Tensor
    """(T, H, W, 2): see `picture_flow`."""


@dataclass(frozen=True)
class Thing:
    """Something that moves by itself: a wobbling disc cut from a plate."""

    plate: Plate
    centre: Array
    """(F, 2) in the plane, or in the frame where `held`."""
    angle: Array
    """(F,)"""
    radius: float
    wobble: Array
    """(F, 2): stretch of the two axes."""
    held: bool
    """The camera follows it: it keeps its place in the frame."""


def make_clip(clips: Clips, plates: Sequence[Plate], index: int) -> Sample:
    """Sample `index` of the generator."""
    rng = np.random.default_rng([clips.seed, index])
    motion = draw_motion(rng, easiest=clips.easiest, single=clips.single)
    aspect = float(rng.choice([16 / 9, 16 / 9, 4 / 3, 9 / 16, 1.0]))
    path = camera_path(rng, motion, clips.duration_seconds)
    moments = frame_moments(rng, clips.frames, clips.duration_seconds)
    shutter = float(rng.uniform(0.01, 0.1)) if rng.random() < 0.3 else 0.0
    cut = (
        clips.frames
        if motion.cut is None
        else int(np.clip(round(motion.cut * clips.frames), 1, clips.frames - 1))
    )
    plate = plates[int(rng.integers(len(plates)))]
    parts: list[Tensor] = []
    for part in (slice(0, cut), slice(cut, clips.frames)):
        if part.start < part.stop:
            parts.append(film(rng, clips, plates, plate, path, moments[part], shutter, aspect))
        if rng.random() < 0.75:  # else a cut within one scene: the camera jumps
            plate = plates[int(rng.integers(len(plates)))]
    frames = spoil(rng, torch.cat(parts), clips.harm)
    flow = picture_flow(picture_matrices(path.at(moments), aspect), moments, cut, clips.grid)
    return Sample(frames.round().to(torch.uint8), motion, flow)


def film(
    rng: np.random.Generator, clips: Clips, plates: Sequence[Plate], plate: Plate,
    path: Path, moments: Array, shutter: float, aspect: float,
) -> Tensor:  # fmt: skip
    """One shot, float (F, 3, S, S): the plate through the moving camera, and things that move before it."""
    width = float(rng.uniform(0.2, 0.6)) * min(plate.size) * min(1.0, aspect)
    turn = float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.3 else 0.0
    place = rng.uniform(-1, 1, 2)
    things = [draw_thing(rng, plates, path, moments) for _ in range(draw_count(rng, clips.objects))]
    openings = np.array([0.0]) if shutter == 0 else np.linspace(-shutter / 2, shutter / 2, 3)
    total = torch.zeros(())
    grid = picture_grid(clips.side)
    for opening in openings:
        pose = path.at(moments + opening)
        plane = grid @ torch.from_numpy(picture_matrices(pose, aspect)).float().transpose(1, 2)  # (F, S*S, 2)
        frames = look(plate, plane, width, place, turn, clips.side, float(pose[:, 2].mean()))
        for thing in things:
            frames = put_thing(frames, thing, plane, pose, aspect, clips.side)
        total = total + frames
    return total / len(openings)


def look(
    plate: Plate, plane: Tensor, width: float, place: Array, turn: float, side: int, zoom: float
) -> Tensor:
    """What the plane's points (F, S*S, 2; in widths) show of a plate, float (F, 3, S, S).

    Args:
        plate: laid out over the plane, mirrored beyond its edges.
        plane: the points.
        width: pixels of the plate's finest level in one width.
        place: where the plane's origin lies on the plate, in [-1, 1].
        turn: angle of the plate.
        side: S.
        zoom: the camera's log zoom factor: tells which level to read.
    """
    height, breadth = plate.size
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, sin], [-sin, cos]]) * width * 2 / np.array([breadth, height])
    points = plane @ torch.from_numpy(turned).float() + torch.from_numpy(place).float()
    level = int(
        np.clip(np.floor(np.log2(max(1.0, width * np.exp(-zoom) / side)) + 0.3), 0, len(plate.levels) - 1)
    )
    source = plate.levels[level].expand(len(points), -1, -1, -1)
    grid = points.view(len(points), side, side, 2)
    return F.grid_sample(source, grid, padding_mode="reflection", align_corners=False)


def draw_count(rng: np.random.Generator, amount: float) -> int:
    """How many things move by themselves."""
    return int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])) if rng.random() < 0.45 * amount else 0


def draw_thing(rng: np.random.Generator, plates: Sequence[Plate], path: Path, moments: Array) -> Thing:
    """A thing near the frame's middle that walks, turns and wobbles."""
    seconds = moments - path.seconds[0]
    held = bool(rng.random() < 0.35)
    speed = 0.05 if held else float(rng.choice([0.1, 0.5]))
    walk = rng.normal(0, speed, 2) * (seconds - seconds.mean())[:, None]
    swing = rng.normal(0, 0.06, 2) * np.sin(seconds[:, None] * rng.uniform(2, 14) + rng.uniform(0, 6, 2))
    start = np.zeros(2) if held else path.at(moments[len(moments) // 2 :][:1])[0, :2]
    wobble = 1 + rng.uniform(0, 0.25) * np.sin(seconds[:, None] * rng.uniform(2, 12) + rng.uniform(0, 6, 2))
    return Thing(
        plate=plates[int(rng.integers(len(plates)))],
        centre=start + rng.uniform(-0.35, 0.35, 2) + walk + swing,
        angle=rng.normal(0, 0.4) * seconds,
        radius=float(rng.uniform(0.08, 0.3)),
        wobble=wobble * np.exp(rng.normal(0, 0.25, 2)),
        held=held,
    )


def put_thing(frames: Tensor, thing: Thing, plane: Tensor, pose: Array, aspect: float, side: int) -> Tensor:
    """The frames with the thing before them."""
    if thing.held:
        still = np.zeros_like(pose)
        plane = picture_grid(side) @ torch.from_numpy(picture_matrices(still, aspect)).float().transpose(1, 2)
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)
    turn = (
        np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2) / (thing.wobble * thing.radius)[:, None, :]
    )
    local = (plane - torch.from_numpy(thing.centre).float()[:, None]) @ torch.from_numpy(turn).float()
    inside = (8 * (1 - local.square().sum(-1))).clamp(0, 1).view(-1, 1, side, side)
    texture = look(thing.plate, local * 0.25, min(thing.plate.size), np.zeros(2), 0.0, side, 1.0)
    return frames + inside * (texture - frames)
