"""`Shards`: clips in tar files, which `tubelet shard` wrote, on the disk or behind HTTP."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.data.source import Listed, Listing, Sample
from tubelet.data.stored import Stored, is_url, read_range
from tubelet.errors import ConfigError, DataError
from tubelet.labels import UNKNOWN, Head, Label, Labels

INDEX = "index.json"
"""The file beside the shards that says what is where in them."""
FORMAT, VERSION = "tubelet-shards", 1


@dataclass(frozen=True, kw_only=True)
class Shards(Listed):
    """Clips in shards: tar files of the WebDataset layout, and an index that says where in them each clip is.

    A clip is read alone, by its place in its shard (over HTTP by a range request), so that order and resumption are
    those of any other source. Training shuffles the shards and the clips within each (`EpochSampler`).

    Raises:
        DataError: if there is no index, or it is none that Tubelet knows.
    """

    root: str
    """The folder of the shards, or its URL (`http://` or `https://`)."""

    def __post_init__(self) -> None:
        """Take paths too."""
        object.__setattr__(self, "root", str(self.root))

    @property
    def place(self) -> str:
        """The folder or URL."""
        return self.root

    def read(self) -> Listing:
        """Read the index; samples are in the order in which they are stored."""
        file = self._at(INDEX)
        try:
            index = json.loads(read_range(file))
            if index["format"] != FORMAT or index["version"] != VERSION:
                raise DataError(
                    f"{file} is an index of {index['format']!r}, version {index['version']!r}; Tubelet knows "
                    f"{FORMAT!r}, version {VERSION}."
                )
            labels = Labels.from_dict(index["heads"])
            samples = [
                sample_of(self._at(shard["file"]), shard["split"], clip, labels)
                for shard in index["shards"]
                for clip in shard["clips"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise DataError(f"{file}: {error}") from error
            raise DataError(f"{file} is no index of shards ({type(error).__name__}: {error}).") from error
        return Listing(labels=labels, samples=samples)

    def _at(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}" if is_url(self.root) else str(Path(self.root) / name)


def sample_of(file: str, split: str, clip: dict[str, Any], labels: Labels) -> Sample:
    """A clip of the index."""
    found: list[Label] = [tuple(label) if isinstance(label, list) else int(label) for label in clip["labels"]]
    for head, label in zip(labels.heads, found, strict=True):
        if not fits(head, label):
            raise ValueError(f"the label {label} of {clip['name']} is none of the head {head.name!r}")
    return Sample(
        path=Path(clip["name"]),
        labels=tuple(found),
        split=split,
        group=clip["group"],
        id=clip["id"],
        stored=Stored(file=file, offset=clip["offset"], length=clip["length"], crc32=clip["crc32"]),
    )


def fits(head: Head, label: Label) -> bool:
    """Whether a head can have this label."""
    count = len(head.classes)
    if label == UNKNOWN:
        return True
    if isinstance(label, int) or head.kind == "single":
        return isinstance(label, int) and head.kind == "single" and 0 <= label < count
    return len(label) == count if head.kind == "number" else all(number in range(count) for number in label)
