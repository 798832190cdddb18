"""`Without`: a source without the clips of a list."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tubelet.data.rows import Row, read_rows
from tubelet.data.source import Listed, Sample, Source
from tubelet.data.stored import is_url
from tubelet.errors import DataError
from tubelet.labels import Labels

COLUMNS = ("video", "start_seconds", "end_seconds", "split", "cause")
"""The columns of a list: a clip is its first three; the others are for its reader."""

Identity = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Without:
    """A source without the clips of a list that `tubelet check --fix-list` wrote: broken ones, and leaked copies.

    Raises:
        DataError: if the list is none, or a clip in it is not in the source (the videos were moved, or the list is of
            other data): then nothing would be left out unseen.
    """

    source: Source
    """All clips."""
    clips: Path
    """The list: a CSV file with the columns `video`, `start_seconds`, `end_seconds`."""

    @property
    def labels(self) -> Labels:
        """Those of the source."""
        return self.source.labels

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that still have clips."""
        return tuple(split for split in self.source.splits if self._kept(split))

    @property
    def missing(self) -> Mapping[str, tuple[str, ...]]:
        """For each split, what the source misses on the disk."""
        return self.source.missing if isinstance(self.source, Listed) else {}

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split that are not in the list.

        Raises:
            DataError: if there are none.
        """
        kept = self._kept(split)
        if not kept:
            raise DataError(f"All clips in the split {split!r} are in {self.clips}.")
        return kept

    def _kept(self, split: str) -> list[Sample]:
        return [sample for sample in self.source.samples(split) if identity(sample) not in self._listed]

    @cached_property
    def _listed(self) -> frozenset[Identity]:
        """The clips to leave out, every one of which is in the source."""
        rows = read_rows(Path(self.clips), COLUMNS[:3], empty=True)
        there = {identity(s) for split in self.source.splits for s in self.source.samples(split)}
        listed: dict[Identity, Row] = {}
        for row in rows:
            listed[row.text("video"), row["start_seconds"], row["end_seconds"]] = row
        others = [row for clip, row in listed.items() if clip not in there]
        if others:
            raise DataError(
                f"{others[0].where}: {others[0]['video']} is not in the data, nor are {len(others) - 1} other clips "
                "of the list. Were the videos moved? Run tubelet check again."
            )
        return frozenset(listed)


def identity(sample: Sample) -> Identity:
    """What tells a clip from all others: its absolute path (in a shard, its name there) and its times."""
    if sample.stored is None:
        path = os.path.abspath(sample.path)
    else:
        shard = sample.stored.file
        path = f"{shard if is_url(shard) else os.path.abspath(shard)}:{sample.path}"
    start, end = ("" if t is None else f"{t:.6f}" for t in (sample.start_seconds, sample.end_seconds))
    return path, start, end


def write_list(file: Path, clips: Iterable[tuple[Sample, str]]) -> None:
    """Write a new list of clips and why each is in it.

    Raises:
        FileExistsError: if there is such a file.
    """
    with file.open("x", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        writer.writerows((*identity(sample), sample.split, cause) for sample, cause in clips)
