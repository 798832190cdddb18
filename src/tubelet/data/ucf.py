"""UCF101 (Soomro et al. 2012, arXiv 1212.0402) and HMDB51 (Kuehne et al. 2011) with their official folds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tubelet.data.disk import Disk, check_found
from tubelet.data.published import Published
from tubelet.data.rows import in_order, read_lines
from tubelet.data.source import Fractions, Listing, Sample, divide
from tubelet.errors import DataError
from tubelet.labels import Labels

Fold = Literal[1, 2, 3]


@dataclass(frozen=True, kw_only=True)
class Folded(Published):
    """A dataset with three official divisions into `train` and `test`; a part of `train` is held out as `val`."""

    root: Path
    """The folder of the folders of videos."""
    fold: Fold = 1
    """Which of the three official divisions."""
    val: float = 0.15
    """Share of the groups of the training list held out; 0: none, and there is no split `val`."""
    seed: int = 0
    """Another seed holds out other groups."""

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        super().__post_init__()
        Fractions(val=self.val, test=0)

    def listing(
        self, classes: Sequence[str], samples: Sequence[Sample], missing: Iterable[tuple[str, str]]
    ) -> Listing:
        """What the lists say, a share of the groups of `train` moved to `val`.

        Args:
            classes: in their order.
            samples: the clips that are there.
            missing: split and name of what is not.
        """
        train = [sample for sample in samples if sample.split == "train"]
        fractions = Fractions(val=self.val, test=0, seed=self.seed)
        splits = iter(divide(train, fractions, lambda s: s.labels, lambda s: s.group))
        held_out = [replace(s, split=next(splits)) if s.split == "train" else s for s in samples]
        absent = check_found(samples, missing, self.root)
        return Listing(labels=Labels.single(classes), samples=held_out, missing=absent)


@dataclass(frozen=True, kw_only=True)
class Ucf101(Folded):
    """UCF101 as it is published: `classInd.txt`, `trainlist01.txt`, `testlist01.txt` and `Class/v_Class_g08_c01.avi`.

    Classes are in the order of `classInd.txt`. The lists know `train` and `test`; a share `val` of the groups of the
    training list (`g08`: clips with the same background and people) is held out to choose the best epoch. Videos
    that are not there are in `missing`.

    Raises:
        ConfigError: if `val` is no share.
        DataError: if a file is not what it should be (names the line), or no video is there.
    """

    annotations: Path
    """The folder of the lists (`ucfTrainTestlist`)."""

    def read(self) -> Listing:
        """Read the lists and look which videos are there."""
        names: dict[int, str] = {}
        for where, line in read_lines(self.annotations / "classInd.txt"):
            number, _, name = line.partition(" ")
            if not number.isdecimal() or int(number) < 1 or not name.strip():
                raise DataError(f"{where}: {line!r} is not a number from 1 on and a class.")
            names[int(number) - 1] = name.strip()
        classes = in_order(names, self.annotations / "classInd.txt")
        index = {name: number for number, name in enumerate(classes)}
        disk = Disk.below(self.root, self.image_rate)
        samples: list[Sample] = []
        missing: list[tuple[str, str]] = []
        for split in ("train", "test"):
            for where, line in read_lines(self.annotations / f"{split}list0{self.fold}.txt"):
                name, _, number = line.partition(" ")
                label = name.partition("/")[0]
                group = re.search(r"_(g\d+)_c\d+", name)
                if (
                    label not in index
                    or group is None
                    or (number and number.strip() != str(index[label] + 1))
                ):
                    raise DataError(
                        f"{where}: {line!r} is not Class/v_Class_gNN_cNN.avi with the class's number."
                    )
                path = disk.at(name)
                if path is None:
                    missing.append((split, name))
                    continue
                samples.append(
                    Sample(
                        path=path,
                        labels=(index[label],),
                        split=split,
                        group=group[1],
                        id=name,
                        image_rate=self.image_rate,
                    )
                )
        return self.listing(classes, samples, missing)


@dataclass(frozen=True, kw_only=True)
class Hmdb51(Folded):
    """HMDB51 as it is published: `{class}_test_split1.txt` with lines `file.avi 0|1|2`, and `class/file.avi`.

    1 is the training list, 2 the test list, 0 neither. Classes are in alphabetical order. A share `val` of the groups
    of the training list (clips of one film: what stands before the class in a file's name) is held out to choose the
    best epoch. Videos that are not there are in `missing`.

    Raises:
        ConfigError: if `val` is no share.
        DataError: if a file is not what it should be (names the line), or no video is there.
    """

    annotations: Path
    """The folder of the lists (`testTrainMulti_7030_splits`)."""

    def read(self) -> Listing:
        """Read the lists and look which videos are there."""
        end = f"_test_split{self.fold}.txt"
        files = sorted(self.annotations.glob(f"*{end}"), key=lambda file: file.name.removesuffix(end))
        if not files:
            raise DataError(f"{self.annotations} holds no list {{class}}{end}.")
        classes = [file.name.removesuffix(end) for file in files]
        disk = Disk.below(self.root, self.image_rate)
        samples: list[Sample] = []
        missing: list[tuple[str, str]] = []
        for label, file in enumerate(files):
            for where, line in read_lines(file):
                name, _, use = line.rpartition(" ")
                if not name or use not in ("0", "1", "2"):
                    raise DataError(f"{where}: {line!r} is not a file and 0, 1 or 2.")
                if use == "0":
                    continue
                split, name = "train" if use == "1" else "test", f"{classes[label]}/{name.strip()}"
                path = disk.at(name)
                if path is None:
                    missing.append((split, name))
                    continue
                film = Path(name).stem.partition(f"_{classes[label]}_")[0]
                samples.append(
                    Sample(
                        path=path,
                        labels=(label,),
                        split=split,
                        group=film,
                        id=name,
                        image_rate=self.image_rate,
                    )
                )
        return self.listing(classes, samples, missing)
