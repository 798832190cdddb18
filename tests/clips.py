"""Tiny clips for the tests of data, training and evaluation."""

from pathlib import Path

import av
import numpy as np


def write_clip(file: Path, frames: np.ndarray, rate: int = 25) -> Path:
    """Write uint8 frames (F, H, W, 3) as a video."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "15", "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file


def moving_square(direction: int, seed: int, frames: int = 8, side: int = 32) -> np.ndarray:
    """A bright square that moves left (-1) or right (+1) over a grey picture: single frames do not tell which."""
    rng = np.random.default_rng(seed)
    video = np.full((frames, side, side, 3), 60, np.uint8)
    row, start = rng.integers(4, side - 12), rng.integers(0, side)
    for index in range(frames):
        columns = (start + direction * 3 * index + np.arange(8)) % side
        video[index, row : row + 8, columns] = 220
    return video


def write_motion(root: Path, count: int, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """`root/split/left|right/NN.mp4`: a task that a single frame cannot solve."""
    for place, split in enumerate(splits):
        for label, direction in (("left", -1), ("right", 1)):
            for number in range(count):
                seed = 1000 * place + 2 * number + (direction > 0)
                write_clip(root / split / label / f"{number:02}.mp4", moving_square(direction, seed))
    return root
