"""A folder of videos for each class."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from tubelet.data.disk import SUFFIXES, clips_below
from tubelet.data.source import Fractions, Listed, Listing, Sample, divide
from tubelet.errors import ConfigError, DataError
from tubelet.labels import Labels

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
class Folders(Listed):
    """A folder of videos for each class, `root/class/file.mp4`, or `root/split/class/file.mp4`.

    Where the folders directly below the root are named `train`, `val` (or `validation`) and `test`, they are
    the splits; a split that has no folder is then drawn from `train` by no one: asking for it is an error.
    Otherwise the clips are divided at random by `fractions`. Classes are in the order of their names. Hidden
    files and folders are left alone, and so are files that are not videos. With `image_rate` each clip is a folder of
    images, `root/class/clip/0001.jpg`.

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
    image_rate: float | None = None
    """Frames per second where each clip is a folder of images; None: clips are video files."""

    def __post_init__(self) -> None:
        """Refuse a pattern without exactly one bracket."""
        object.__setattr__(self, "root", Path(self.root))
        if self.group is not None and re.compile(self.group).groups != 1:
            raise ConfigError(f"group={self.group!r} is not a regular expression with exactly one (bracket).")

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self) -> Listing:
        """Look through the folders; samples are ordered by class and file name."""
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
            Sample(
                path=file,
                labels=(index[label.name],),
                split=split,
                group=self._group_of(file),
                image_rate=self.image_rate,
            )
            for split, label in places
            for file in clips_below(label, self.image_rate is not None)
        ]
        there = {sample.labels[0] for sample in samples}
        empty = ", ".join(name for name in classes if index[name] not in there)
        if empty:
            kinds = (
                f"videos ({', '.join(sorted(SUFFIXES))})" if self.image_rate is None else "folders of images"
            )
            raise DataError(f"{self.root}: no {kinds} for the class {empty}.")
        if not samples[0].split:
            splits = divide(samples, self.fractions, lambda s: s.labels, lambda s: s.group)
            samples = [replace(s, split=split) for s, split in zip(samples, splits, strict=True)]
        return Listing(labels=Labels.single(classes), samples=samples)

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
