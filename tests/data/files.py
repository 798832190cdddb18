"""Small files for the tests of sources."""

from pathlib import Path

import numpy as np
from PIL import Image


def touch(root: Path, *names: str) -> Path:
    """Empty files, and the folders above them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(file: Path, text: str) -> Path:
    """A text file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def write_images(folder: Path, frames: np.ndarray, name: str = "{:04}.png") -> Path:
    """A folder of images, counted from 1, of uint8 frames (F, H, W, 3)."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder
