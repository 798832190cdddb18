"""A table (CSV) of videos, or parts of videos, and their labels."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from tubelet.data.source import UNKNOWN, Fractions, Sample, divide, of_split
from tubelet.errors import ConfigError, DataError
from tubelet.labels import Head, Labels

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV file with a header: a column of paths, a column of labels for each head, and what else there is.

    Relative paths start from the table's own folder. Classes are in the order of their names. An empty label
    means that nobody said: the row counts for its other heads only.

    Raises:
        ConfigError: if the fields make no sense together.
        DataError: if the file is missing, lacks a column, or has a row that cannot be understood; names the row.
    """

    file: Path
    """The table."""
    label: tuple[str, ...] = ("label",)
    """The columns of labels: each is a head."""
    path: str = "path"
    """The column of paths."""
    start: str | None = None
    """The column that says where in the video the clip starts; None: at its beginning."""
    end: str | None = None
    """The column that says where in the video the clip ends; None: at its end."""
    unit: Literal["seconds", "frames"] = "seconds"
    """The unit of `start` and `end`. Frames may be fractional and are counted from 0."""
    frame_rate: float | None = None
    """Frames per second by which `frames` become seconds."""
    margin_seconds: float = 0.0
    """Context added before `start` and after `end`."""
    split: str | None = None
    """The column of splits (`train`, `val`, `test`); None: divided at random by `fractions`."""
    group: str | None = None
    """The column of what must stay together when clips are divided at random; None: every row by itself."""
    fractions: Fractions = field(default_factory=Fractions)
    """How the rows are divided where no column says it."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        object.__setattr__(self, "file", Path(self.file))
        object.__setattr__(self, "label", tuple(self.label))
        if not self.label or len(set(self.label)) != len(self.label):
            raise ConfigError(f"label={self.label} must name one column or more, each once.")
        if (self.unit == "frames") != (self.frame_rate is not None):
            raise ConfigError("frame_rate belongs to unit='frames', and frames need it to become seconds.")
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise ConfigError(f"frame_rate={self.frame_rate} is not a number of frames per second.")
        if self.unit == "frames" and self.start is None and self.end is None:
            raise ConfigError("unit='frames' has no effect without a start or end column.")
        if not 0 <= self.margin_seconds < math.inf:
            raise ConfigError(f"margin_seconds={self.margin_seconds} is below 0.")
        if self.split is not None and self.group is not None:
            raise ConfigError("group has no effect where a column says the split: give one of the two.")

    @property
    def labels(self) -> Labels:
        """A head for each label column, named as the column."""
        return self._read[0]

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, in the order of the table.

        Raises:
            DataError: if there are none.
        """
        return of_split(self._read[1], split, str(self.file))

    @cached_property
    def _read(self) -> tuple[Labels, list[Sample]]:
        rows = self._rows()
        heads: list[Head] = []
        for column in self.label:
            classes = sorted({row[column] for _, row in rows} - {""})
            if not classes:
                raise DataError(f"{self.file}: the column {column!r} is empty.")
            heads.append(Head(column, tuple(classes)))
        index = [{name: number for number, name in enumerate(head.classes)} for head in heads]
        samples: list[Sample] = []
        for number, row in rows:
            labels = tuple(
                names.get(row[head.name], UNKNOWN) for names, head in zip(index, heads, strict=True)
            )
            samples.append(self._sample(number, row, labels))
        if self.split is None:
            splits = divide(samples, self.fractions, lambda s: s.labels, lambda s: s.group)
            samples = [replace(s, split=split) for s, split in zip(samples, splits, strict=True)]
        return Labels(tuple(heads)), samples

    def _rows(self) -> list[tuple[int, Row]]:
        """The rows with their line numbers in the file."""
        if not self.file.is_file():
            raise DataError(f"There is no file {self.file}.")
        asked = [self.path, *self.label, self.start, self.end, self.split, self.group]
        with self.file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, restval="")
            columns = list(reader.fieldnames or [])
            missing = [name for name in asked if name is not None and name not in columns]
            if missing:
                raise DataError(
                    f"{self.file} has no column {', '.join(missing)}. Its columns are: {', '.join(columns)}."
                )
            rows: list[tuple[int, Row]] = []
            for row in reader:
                if None in row:
                    raise DataError(f"{self.file}, line {reader.line_num}: more cells than columns.")
                rows.append((reader.line_num, {name: cell.strip() for name, cell in row.items()}))
        if not rows:
            raise DataError(f"{self.file} has no rows.")
        return rows

    def _sample(self, line: int, row: Row, labels: tuple[int, ...]) -> Sample:
        where = f"{self.file}, line {line}"
        if not row[self.path]:
            raise DataError(f"{where}: the column {self.path!r} is empty.")
        if all(label == UNKNOWN for label in labels):
            raise DataError(f"{where}: no label in {', '.join(self.label)}.")
        start, end = self._seconds(self.start, row, where), self._seconds(self.end, row, where)
        if start is not None and end is not None and end <= start:
            raise DataError(f"{where}: the clip ends ({end:g} s) no later than it starts ({start:g} s).")
        if self.split is not None and not row[self.split]:
            raise DataError(f"{where}: the column {self.split!r} is empty.")
        return Sample(
            path=self.file.parent / row[self.path],
            labels=labels,
            start_seconds=None if start is None else max(start - self.margin_seconds, 0.0),
            end_seconds=None if end is None else end + self.margin_seconds,
            split="train" if self.split is None else row[self.split],
            group=None if self.group is None else row[self.group],
        )

    def _seconds(self, column: str | None, row: Row, where: str) -> float | None:
        """A cell as seconds; an empty one as None."""
        if column is None or not row[column]:
            return None
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise DataError(f"{where}: {column}={row[column]!r} is not a number of {self.unit} from 0 on.")
        return value if self.frame_rate is None else value / self.frame_rate
