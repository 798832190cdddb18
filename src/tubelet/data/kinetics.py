"""Kinetics-400, 600 and 700 (Kay et al. 2017, arXiv 1705.06950)."""

from dataclasses import dataclass
from pathlib import Path

from tubelet.data.disk import Disk, check_found
from tubelet.data.published import Published
from tubelet.data.rows import Row, read_rows
from tubelet.data.source import UNKNOWN, Listing, Sample
from tubelet.errors import DataError
from tubelet.labels import Labels

SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
"""Names of the splits in the official files, and ours."""


@dataclass(frozen=True, kw_only=True)
class Kinetics(Published):
    """Kinetics as it is published: CSV files `label,youtube_id,time_start,time_end,split`, one trimmed video a clip.

    A video is found by its name, `{youtube_id}_{time_start:06d}_{time_end:06d}`, in whatever folder below the root.
    Those that are not there are in `missing`. Classes are in alphabetical order. A clip without a label, of a test
    set that hides them, is `UNKNOWN`. Clips of one YouTube video are a group.

    Raises:
        DataError: if a file is not what it should be (names the line), or no video is there.
    """

    root: Path
    """The folder of the videos: flat, by class, or by split and class."""
    annotations: Path
    """The official CSV file, or a folder with one for each split. All are read: the classes are those of all."""

    def read(self) -> Listing:
        """Read the annotations and look which videos are there."""
        rows = self._rows()
        classes = sorted({row.cells.get("label", "") for row in rows} - {""})
        if not classes:
            raise DataError(f"{self.annotations}: no clip has a label.")
        index = {name: number for number, name in enumerate(classes)}
        disk = Disk.below(self.root, self.image_rate)
        samples: dict[Sample, None] = {}  # the official files name some clips twice
        missing: list[tuple[str, str]] = []
        for row in rows:
            split, label = split_of(row), row.cells.get("label", "")
            if not label and split != "test":
                raise DataError(f"{row.where}: no label, which only clips of the test split may lack.")
            start, end = row.integer("time_start"), row.integer("time_end")
            name = f"{row.text('youtube_id')}_{start:06d}_{end:06d}"
            path = disk.named(name, (row["split"], split, label, label.replace(" ", "_")))
            if path is None:
                missing.append((split, name))
                continue
            sample = Sample(
                path=path,
                labels=(index.get(label, UNKNOWN),),
                split=split,
                group=row["youtube_id"],
                id=name,
                image_rate=self.image_rate,
            )
            samples[sample] = None
        absent = check_found(list(samples), missing, self.root)
        return Listing(labels=Labels.single(classes), samples=list(samples), missing=absent)

    def _rows(self) -> list[Row]:
        files = sorted(self.annotations.glob("*.csv")) if self.annotations.is_dir() else [self.annotations]
        if not files:
            raise DataError(
                f"{self.annotations} holds no CSV file: Tubelet expects train.csv, validate.csv, test.csv."
            )
        columns = ("youtube_id", "time_start", "time_end", "split")
        return [row for file in files for row in read_rows(file, columns)]


def split_of(row: Row) -> str:
    """The split of a row.

    Raises:
        DataError: if it is none of Kinetics'.
    """
    if row["split"] not in SPLITS:
        raise DataError(f"{row.where}: split={row['split']!r} is none of {', '.join(SPLITS)}.")
    return SPLITS[row["split"]]
