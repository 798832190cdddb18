"""Something-Something v2 (Goyal et al. 2017, arXiv 1706.04261)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.data.disk import Disk, check_found
from tubelet.data.published import Published
from tubelet.data.rows import in_order, read_json
from tubelet.data.source import UNKNOWN, Listing, Sample
from tubelet.errors import DataError
from tubelet.labels import Labels

FILES = {"train": "train", "validation": "val", "test": "test"}
"""The official files, and our splits. A file may be missing where its split is not needed."""
PREFIX = "something-something-v2-"
"""What stands before the files' names in some releases."""


@dataclass(frozen=True, kw_only=True)
class SomethingSomethingV2(Published):
    """Something-Something v2 as it is published: `labels.json`, `train.json`, `validation.json`, `test.json`.

    The files may also be called `something-something-v2-train.json` and so on. A class is a template without its
    brackets, its number that of `labels.json`. Clips of `test.json`, which says no labels, are `UNKNOWN`. A video is
    found by its id in whatever folder below the root; those that are not there are in `missing`.

    Raises:
        DataError: if a file is not what it should be (names the entry), or no video is there.
    """

    root: Path
    """The folder of the videos, `{id}.webm`."""
    annotations: Path
    """The folder of the JSON files."""
    image_rate: float | None = None
    """Frames per second where each clip is a folder of images (12 as published); None: clips are video files."""

    def read(self) -> Listing:
        """Read the annotations and look which videos are there."""
        classes = self._classes()
        index = {name: number for number, name in enumerate(classes)}
        disk = Disk.below(self.root, self.image_rate)
        samples: list[Sample] = []
        missing: list[tuple[str, str]] = []
        files = {file: split for name, split in FILES.items() if (file := self._file(name)).is_file()}
        if not files:
            raise DataError(
                f"{self.annotations} holds none of {', '.join(f'{name}.json' for name in FILES)}."
            )
        for file, split in files.items():
            for where, entry in entries(file):
                label = UNKNOWN
                if split != "test":
                    template = without_brackets(text_of(entry, "template", where))
                    if template not in index:
                        raise DataError(f"{where}: the template {template!r} is not in labels.json.")
                    label = index[template]
                name = text_of(entry, "id", where)
                path = disk.named(name)
                if path is None:
                    missing.append((split, name))
                    continue
                samples.append(
                    Sample(path=path, labels=(label,), split=split, id=name, image_rate=self.image_rate)
                )
        absent = check_found(samples, missing, self.root)
        return Listing(labels=Labels.single(classes), samples=samples, missing=absent)

    def _file(self, name: str) -> Path:
        plain, long = (self.annotations / f"{prefix}{name}.json" for prefix in ("", PREFIX))
        return long if long.is_file() else plain

    def _classes(self) -> tuple[str, ...]:
        file = self._file("labels")
        values = read_json(file)
        if not isinstance(values, dict) or not values:
            raise DataError(f"{file} is no object of templates and their numbers.")
        names: dict[int, str] = {}
        for name, number in values.items():  # pyright: ignore[reportUnknownVariableType]
            text = str(number)  # pyright: ignore[reportUnknownArgumentType]
            if not text.isdecimal() or int(text) in names:
                raise DataError(f"{file}: {name!r} has the number {text!r}, which is none, or taken.")
            names[int(text)] = str(name)  # pyright: ignore[reportUnknownArgumentType]
        return in_order(names, file)


def entries(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a split, each with its place for messages.

    Raises:
        DataError: if the file is no list of objects.
    """
    values = read_json(file)
    if not isinstance(values, list):
        raise DataError(f"{file} is no list of clips.")
    found: list[tuple[str, dict[str, Any]]] = []
    for number, value in enumerate(values, start=1):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        where = f"{file}, entry {number}"
        if not isinstance(value, dict):
            raise DataError(f"{where}: no object.")
        found.append((where, value))  # pyright: ignore[reportUnknownArgumentType]
    return found


def text_of(entry: dict[str, Any], field: str, where: str) -> str:
    """A field of an entry.

    Raises:
        DataError: if it is not there, or empty.
    """
    value = entry.get(field)
    if not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: no {field!r}.")
    return str(value)


def without_brackets(template: str) -> str:
    """`Holding [something]` as `labels.json` has it: `Holding something`."""
    return template.replace("[", "").replace("]", "")
