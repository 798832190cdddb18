"""Which clips of a dataset are on the disk."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from tubelet.data.source import Sample
from tubelet.errors import DataError
from tubelet.video.images import IMAGE_SUFFIXES

SUFFIXES = frozenset(
    (".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".3gp", ".gif")
)
"""What counts as a video file, in lower case."""


def clips_below(folder: Path, images: bool) -> Iterator[Path]:
    """The clips in a folder and below it, by name; hidden ones left out.

    Args:
        folder: where to look.
        images: clips are folders of images, of which no more than is needed is listed; otherwise they are files.
    """
    with os.scandir(folder) as opened:
        below: list[Path] = []
        for entry in opened:
            if entry.name.startswith("."):
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            if images and suffix in IMAGE_SUFFIXES and entry.is_file():
                yield folder
                return
            if entry.is_dir() or (not images and suffix in SUFFIXES):
                below.append(Path(entry.path))
    for path in sorted(below):
        if path.is_dir():
            yield from clips_below(path, images)
        else:
            yield path


def without_suffix(path: str) -> str:
    """A path without the suffix of a video file, if it has one."""
    start, suffix = os.path.splitext(path)
    return start if suffix.lower() in SUFFIXES else path


@dataclass(frozen=True)
class Disk:
    """The clips below a folder, by where and by what they are named, without the suffixes of video files."""

    root: Path
    paths: dict[str, Path]
    """By the path below the root, with slashes."""
    names: dict[str, list[str]]
    """By the file's name: the keys of `paths`."""

    @classmethod
    def below(cls, root: Path, image_rate: float | None) -> Self:
        """Look once through all folders.

        Raises:
            DataError: if there is no such folder.
        """
        if not root.is_dir():
            raise DataError(f"There is no folder {root}.")
        paths: dict[str, Path] = {}
        names: dict[str, list[str]] = {}
        for path in clips_below(root, image_rate is not None):
            below = path.relative_to(root).as_posix()
            key = below if image_rate is not None else without_suffix(below)
            if key not in paths:
                paths[key] = path
                names.setdefault(PurePosixPath(key).name, []).append(key)
        return cls(root, paths, names)

    def at(self, path: str) -> Path | None:
        """The clip at a path below the root, if it is there, with whatever suffix."""
        return self.paths.get(without_suffix(path))

    def named(self, name: str, hints: Sequence[str] = ()) -> Path | None:
        """The clip of a name (without suffix) in any folder; of several the one with most `hints` in its path."""
        keys = self.names.get(name)
        if not keys:
            return None
        return self.paths[max(keys, key=lambda key: sum(hint in key.split("/") for hint in hints))]


def check_found(
    found: Sequence[Sample], missing: Iterable[tuple[str, str]], root: Path
) -> dict[str, tuple[str, ...]]:
    """What is missing, by split.

    Args:
        found: the samples that are there.
        missing: split and name of what is not.
        root: where they were sought.

    Raises:
        DataError: if nothing is there.
    """
    absent: dict[str, dict[str, None]] = {}
    for split, name in missing:
        absent.setdefault(split, {})[name] = None
    if not found:
        names = [name for split in absent.values() for name in split]
        example = f", such as {names[0]}" if names else ""
        raise DataError(f"None of the {len(names)} annotated videos is below {root}{example}.")
    return {split: tuple(names) for split, names in absent.items()}
