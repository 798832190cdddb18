"""The test set: virtual camera moves over real videos that training never sees.

Each source is a stretch of real footage whose own camera stands still, or one frozen frame of it. A virtual
camera films it at 25 frames per second, the result goes through H.264, and 32 frames of the two seconds are
kept at their full size. The seed is fixed: clip i of a source is always the same.

F: frames kept, H, W: pixels of a filmed frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.errors import DataError
from tubelet.recipes.camera_motion.footage import through_codec
from tubelet.recipes.camera_motion.moves import Array, Motion, camera_path, draw_motion, picture_matrices
from tubelet.recipes.camera_motion.scenes import HELD_OUT, PHOTOGRAPHS, read_photograph

SEED = 20210329
DURATION_SECONDS = 2.0
FPS = 25
KEPT = 32
SIZES = ((144, 256), (160, 214), (200, 150))
"""(height, width) of the filmed frames: 16:9, 4:3 and upright."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Where a source's pictures come from."""

    name: str
    path: str
    """Below the data folder."""
    stream: int = 0
    first: int = 0
    count: int = 1
    """1: a frozen frame. More: live, played forth and back; its own camera stands still."""
    fps: float = 25.0
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right, bottom, as shares of the picture: cuts bars off."""
    turned: bool = False
    """Stored upside down."""


DECODER, GRID = "decoder-robustness", "grid-s1/videos"
SOURCES: tuple[Footage, ...] = (
    # Live. Stillness: GRID is a fixed camera by its makers' word; in the other two phase correlation over
    # half a second gives under 0.6 pixels of 480, and under 0.1 of 1280.
    Footage(name="bunny", path=f"{DECODER}/vp8_vorbis_bbb.webm", count=24, fps=24),
    Footage(name="nasa_hall", path=f"{DECODER}/nasa_13013.mp4", stream=1, count=120, fps=29.97),
    Footage(name="grid_bbaf2n", path=f"{GRID}/bbaf2n.mp4", count=74),
    Footage(name="grid_lrarzn", path=f"{GRID}/lrarzn.mp4", count=74),
    Footage(name="grid_srah5s", path=f"{GRID}/srah5s.mp4", count=74),
    # Frozen: these cameras move by themselves.
    Footage(name="nasa_crane", path=f"{DECODER}/nasa_13013.mp4", stream=1, first=360),
    Footage(name="face_mpeg1", path=f"{DECODER}/mpeg1_mp2_face.mpg", first=10),
    Footage(name="keyboard", path=f"{DECODER}/phone_rotation_0.mov"),
    Footage(name="shelves", path=f"{DECODER}/phone_vfr_rotated180.mp4", first=24, turned=True),
    Footage(name="stage", path=f"{DECODER}/mpeg4_mp3_60s.avi", first=222, crop=(0, 0.14, 1, 0.86)),
    Footage(name="guitarists", path=f"{DECODER}/mpeg4_mp3_60s.avi", first=624, crop=(0, 0.14, 1, 0.86)),
)


@dataclass(frozen=True)
class TestClip:
    """One clip of the test set."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    source: str
    index: int
    frames: Tensor
    """uint8 (F, 3, H, W)"""
    motion: Motion


def read_footage(data: Path, footage: Footage) -> Tensor:
    """The pictures of a source, uint8 (N, 3, h, w).

    Raises:
        DataError: where the file is missing or too short.
    """
    path = data / footage.path
    if not path.exists():
        raise DataError(f"The camera-motion test set needs {footage.path} below {data}, which is not there.")
    pictures: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(container.streams.video[footage.stream])):
            if number >= footage.first:
                pictures.append(frame.to_ndarray(format="rgb24"))
            if len(pictures) == footage.count:
                break
    if len(pictures) < footage.count:
        raise DataError(f"{path} ends before frame {footage.first + footage.count}.")
    frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    height, width = frames.shape[2:]
    left, top, right, bottom = footage.crop
    frames = frames[
        :, :, round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ]
    return frames.flip(2, 3) if footage.turned else frames


def pictures_at(frames: Tensor, fps: float, start_seconds: float, moments: Array) -> Tensor:
    """What a source shows at some moments, played forth and back: float (M, 3, h, w)."""
    if len(frames) == 1:
        return frames.float().expand(len(moments), -1, -1, -1)
    index = np.floor((start_seconds + moments) * fps).astype(int) % (2 * len(frames) - 2)
    index = np.where(index < len(frames), index, 2 * len(frames) - 2 - index)
    return frames[torch.from_numpy(index)].float()


def film_video(rng: np.random.Generator, pictures: Tensor, pose: Array, size: tuple[int, int]) -> Tensor:
    """A source (M, 3, h, w) through the moving camera: float (M, 3, H, W).

    The camera starts where its whole path stays inside the picture, at a width that allows it, but no less
    than 48 pixels; beyond the picture's edges the plane is its mirror image.
    """
    height, width = pictures.shape[2:]
    matrices = picture_matrices(pose, size[1] / size[0])
    corners = np.array([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]])
    reach = (matrices @ corners.T).transpose(0, 2, 1).reshape(-1, 2)
    low, high = reach.min(0), reach.max(0)
    fits = min(0.98 * width / (high[0] - low[0]), 0.98 * height / (high[1] - low[1]))
    pixels = max(48.0, min(fits, float(rng.uniform(0.4, 0.9)) * width))
    slack = np.array([width, height]) - (high - low) * pixels
    origin = rng.random(2) * np.maximum(slack, 0) + np.minimum(slack, 0) / 2 - low * pixels
    shrink = max(1, int(pixels / size[1] + 0.3))
    pictures = F.avg_pool2d(pictures, shrink) if shrink > 1 else pictures
    to_picture = torch.from_numpy(2 / np.array([width, height])).float()
    plane = torch.from_numpy(matrices).float()
    plane = torch.cat(
        [plane[:, :, :2] * pixels, plane[:, :, 2:] * pixels + torch.from_numpy(origin).float()[:, None]], 2
    )
    plane = plane * to_picture[:, None] - torch.tensor([[0, 0, 1.0], [0, 0, 1.0]])
    grid = F.affine_grid(plane, [len(pose), 3, *size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def make_test_clip(
    sources: dict[str, tuple[Footage, Tensor]], name: str, index: int, seed: int = SEED
) -> TestClip:
    """Clip `index` of source `name`. After a cut, another source."""
    names = list(sources)
    rng = np.random.default_rng([seed, names.index(name), index])
    motion = draw_motion(rng, ambiguous=0.08)
    path = camera_path(rng, motion, DURATION_SECONDS)
    size = SIZES[int(rng.choice(len(SIZES), p=[0.5, 0.3, 0.2]))]
    moments = np.arange(round(DURATION_SECONDS * FPS)) / FPS
    cut = len(moments) if motion.cut is None else round(motion.cut * len(moments))
    other = names[int(rng.integers(len(names)))]
    parts: list[Tensor] = []
    for shown, part in ((name, moments[:cut]), (other, moments[cut:])):
        if len(part):
            footage, frames = sources[shown]
            pictures = pictures_at(frames, footage.fps, float(rng.uniform(0, 4)), part)
            parts.append(film_video(rng, pictures, path.at(part), size))
    filmed = torch.cat(parts).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    options = {"crf": str(int(rng.integers(18, 36))), "preset": "veryfast", "bf": "0"}
    coded = through_codec(filmed, "libx264", options, rate=FPS)
    kept = np.floor(np.arange(KEPT) * len(moments) / KEPT).astype(int)
    return TestClip(name, index, torch.from_numpy(coded[kept]).permute(0, 3, 1, 2).contiguous(), motion)


def read_sources(data: Path, sources: Sequence[Footage] = SOURCES) -> dict[str, tuple[Footage, Tensor]]:
    """Every source with its pictures."""
    return {footage.name: (footage, read_footage(data, footage)) for footage in sources}


def photograph_sources() -> dict[str, tuple[Footage, Tensor]]:
    """The training photographs as frozen sources: what the classical method's thresholds are tuned on."""
    names = [name for name in PHOTOGRAPHS if name not in HELD_OUT]
    return {name: (Footage(name=name, path=""), read_photograph(name)[None]) for name in names}


def make_test_set(
    data: Path, per_source: int = 64, report: Callable[[str], None] | None = None
) -> list[TestClip]:
    """The whole test set: `per_source` clips of each of `SOURCES`, below the folder `data`."""
    sources = read_sources(data)
    clips: list[TestClip] = []
    for name in sources:
        if report:
            report(name)
        clips += [make_test_clip(sources, name, index) for index in range(per_source)]
    return clips
