"""A folder of images as a video."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tubelet.errors import DecodeError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key by which `frame2` comes before `frame10`."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


@lru_cache(maxsize=16)
def list_images(folder: str, _changed_ns: int) -> tuple[str, ...]:
    """The names of the images in a folder in natural order; hidden ones left out.

    Remembered until the folder changes: the many segments of one long video are often parts of one folder.
    """
    with os.scandir(folder) as opened:
        names = [
            entry.name
            for entry in opened
            if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
            and entry.name[0] != "."
            and entry.is_file()
        ]
    names.sort()
    if counted(names):
        return tuple(names)
    return tuple(sorted(names, key=lambda name: (natural_key(name), name)))


def counted(names: Sequence[str]) -> bool:
    """Whether names only differ in a number with leading zeros: as text they are then in natural order already."""
    if not names or len({len(name) for name in names}) > 1:
        return False
    start = os.path.splitext(names[0])[0].rstrip("0123456789")
    return all(n.startswith(start) and os.path.splitext(n)[0][len(start) :].isdecimal() for n in names)


class ImageReader:
    """The images of a folder in natural order, one frame each, at an even rate."""

    def __init__(self, folder: Path, name: str, *, keep: bool, frame_rate: float):
        self.name, self.folder = name, folder
        try:
            self.files = list_images(str(folder), folder.stat().st_mtime_ns)
        except OSError as error:
            raise DecodeError(f"{name}: the folder cannot be read ({error.strerror or error}).") from error
        if not self.files:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DecodeError(f"{name}: the folder holds no image ({kinds}).")
        self.height, self.width = _load(folder / self.files[0], name, 0).shape[:2]
        if keep:
            self.files = self.files[: self._sound()]
        self.times: NDArray[np.float64] = np.arange(len(self.files)) / frame_rate
        self.last_seconds = 1 / frame_rate
        self.nominal_rate: float | None = frame_rate

    def pictures(self, ranks: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The images of these ranks, each (H, W, 3) RGB."""
        for rank in ranks:
            picture = _load(self.folder / self.files[rank], self.name, rank)
            if picture.shape[:2] != (self.height, self.width):
                raise DecodeError(
                    f"{self.name}, frame {rank}: {self.files[rank]} is {picture.shape[1]}x{picture.shape[0]} "
                    f"in a video of {self.width}x{self.height}."
                )
            yield picture

    def close(self) -> None:
        """Nothing is kept open."""

    def _sound(self) -> int:
        """How many images can be read before the first that cannot."""
        count = 0
        try:
            for _ in self.pictures(range(len(self.files))):
                count += 1
        except DecodeError:
            return count
        return count


def _load(file: Path, name: str, rank: int) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # Pillow raises many kinds for a bad image
        raise DecodeError(
            f"{name}, frame {rank}: {file.name} cannot be read as an image ({error})."
        ) from error
