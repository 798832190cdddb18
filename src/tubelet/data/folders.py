"""A folder of videos for each class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tubelet.data.source import Fractions, Sample, divide, of_split
from tubelet.errors import ConfigError, DataError
from tubelet.labels import Labels

SUFFIXES = frozenset(
    (".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".3gp", ".gif")
)
"""What counts as a video file in a class's folder, in lower case."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Folder names that are splits, not classes, and the splits they stand for."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """A folder of videos for each class, `root/class/file.mp4`, or `root/split/class/file.mp4`.

    Where the folders directly below the root are named `train`, `val` (or `validation`) and `test`, they are
    the splits; a split that has no folder is then drawn from `train` by no one: asking for it is an error.
    Otherwise the clips are divided at random by `fractions`. Classes are in the order of their names. Hidden
    files and folders are left alone, and so are files that are not videos.

    Raises:
        DataError: if there is no such folder, or no class or no video in it.
        ConfigError: if `group` is not a pattern with one group.
    """

    root: Path
    """The folder."""
    fractions: Fractions = field(default_factory=Fractions)
    """How clips are divided where no folder says it."""
    group: str | None = None
    r"""What must stay together when clips are divided: a regular expression whose one bracket is searched in
    the file's name, such as `(g\d+)_` for UCF101. None: every file by itself."""

    def __post_init__(self) -> None:
        """Refuse a pattern without exactly one bracket."""
        object.__setattr__(self, "root", Path(self.root))
        if self.group is not None and re.compile(self.group).groups != 1:
            raise ConfigError(f"group={self.group!r} is not a regular expression with exactly one (bracket).")

    @property
    def labels(self) -> Labels:
        """One head, `label`; the folders' names are its classes."""
        return self._scan[0]

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, ordered by class and file name.

        Raises:
            DataError: if there are none.
        """
        return of_split(self._scan[1], split, str(self.root))

    @cached_property
    def _scan(self) -> tuple[Labels, list[Sample]]:
        if not self.root.is_dir():
            raise DataError(f"There is no folder {self.root}.")
        below = folders_in(self.root)
        if below and all(folder.name.lower() in SPLITS for folder in below):
            places = [
                (SPLITS[folder.name.lower()], label) for folder in below for label in folders_in(folder)
            ]
        else:
            places = [("", label) for label in below]
        classes = sorted({label.name for _, label in places})
        if not classes:
            raise DataError(f"{self.root} holds no folders: Tubelet expects one for each class.")
        index = {name: number for number, name in enumerate(classes)}
        samples = [
            Sample(path=file, labels=(index[label.name],), split=split, group=self._group_of(file))
            for split, label in places
            for file in videos_in(label)
        ]
        empty = sorted(set(range(len(classes))) - {sample.labels[0] for sample in samples})
        if empty:
            names = ", ".join(classes[number] for number in empty)
            raise DataError(f"{self.root}: no videos ({', '.join(sorted(SUFFIXES))}) for the class {names}.")
        if not samples[0].split:
            splits = divide(samples, self.fractions, lambda s: s.labels, lambda s: s.group)
            samples = [replace(s, split=split) for s, split in zip(samples, splits, strict=True)]
        return Labels.single(classes), samples

    def _group_of(self, file: Path) -> str | None:
        if self.group is None:
            return None
        found = re.search(self.group, file.name)
        if found is None:
            raise DataError(f"{file}: group={self.group!r} is nowhere in the file's name.")
        return found[1]


def folders_in(folder: Path) -> list[Path]:
    """The folders directly below one, by name; hidden ones left out."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def videos_in(folder: Path) -> list[Path]:
    """The video files in a folder and below it, by name; hidden ones left out."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
