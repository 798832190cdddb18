"""Moments in Time (Monfort et al. 2018, arXiv 1801.03150)."""

from dataclasses import dataclass
from pathlib import Path

from tubelet.data.disk import Disk, check_found
from tubelet.data.published import Published
from tubelet.data.rows import in_order, read_lines, read_rows
from tubelet.data.source import Listing, Sample
from tubelet.errors import DataError
from tubelet.labels import Labels

FILES = {"trainingSet.csv": ("train", "training"), "validationSet.csv": ("val", "validation")}
"""The official files, our splits, and the folders of their videos."""


@dataclass(frozen=True, kw_only=True)
class MomentsInTime(Published):
    """Moments in Time as it is published: `trainingSet.csv` and `validationSet.csv` without a header.

    Their rows are `class/file.mp4,label,agree,disagree`. Classes are in the order of `moments_categories.txt`
    (`label,index`). Videos that are not there are in `missing`.

    Raises:
        DataError: if a file is not what it should be (names the line), or no video is there.
    """

    root: Path
    """The folder of `training/class/file.mp4` and `validation/class/file.mp4`."""
    annotations: Path | None = None
    """The folder of the annotations; None: the root."""

    def read(self) -> Listing:
        """Read the annotations and look which videos are there."""
        folder = self.annotations or self.root
        classes = read_categories(folder / "moments_categories.txt")
        index = {name: number for number, name in enumerate(classes)}
        disk = Disk.below(self.root, self.image_rate)
        samples: list[Sample] = []
        missing: list[tuple[str, str]] = []
        files = [name for name in FILES if (folder / name).is_file()]
        if not files:
            raise DataError(f"{folder} holds none of {', '.join(FILES)}.")
        for file in files:
            split, where = FILES[file]
            for row in read_rows(folder / file, (), header=("path", "label", "agree", "disagree")):
                if row["label"] not in index:
                    raise DataError(
                        f"{row.where}: the label {row['label']!r} is not in moments_categories.txt."
                    )
                path = disk.at(f"{where}/{row.text('path')}")
                if path is None:
                    missing.append((split, row["path"]))
                    continue
                samples.append(
                    Sample(
                        path=path,
                        labels=(index[row["label"]],),
                        split=split,
                        id=row["path"],
                        image_rate=self.image_rate,
                    )
                )
        absent = check_found(samples, missing, self.root)
        return Listing(labels=Labels.single(classes), samples=samples, missing=absent)


def read_categories(file: Path) -> tuple[str, ...]:
    """The classes of `moments_categories.txt`: lines `label,index`.

    Raises:
        DataError: if a line is none, or the numbers are not 0, 1, 2 ...
    """
    names: dict[int, str] = {}
    for where, line in read_lines(file):
        name, _, number = line.rpartition(",")
        if not name or not number.strip().isdecimal() or int(number) in names:
            raise DataError(f"{where}: {line!r} is not a label and a number of its own.")
        names[int(number)] = name.strip()
    return in_order(names, file)
