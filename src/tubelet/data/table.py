"""A table (CSV) of videos, or parts of videos, and their labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tubelet.data.rows import Row, read_rows
from tubelet.data.source import UNKNOWN, Fractions, Listed, Listing, Sample, divide, stratum
from tubelet.errors import ConfigError, DataError
from tubelet.labels import Head, Label, Labels

SEPARATOR = ";"
"""Between the classes in a cell of a `multi` column."""


@dataclass(frozen=True, kw_only=True)
class Table(Listed):
    """A CSV file with a header: a column of paths, a column of labels for each head, and what else there is.

    Relative paths start from the table's own folder. Classes are in the order of their names. An empty label
    means that nobody said: the row counts for its other heads only. In a `multi` column a cell may hold several
    classes, `walk;talk`, or none of them, `;`. In a `number` column it holds a number.

    Raises:
        ConfigError: if the fields make no sense together.
        DataError: if the file is missing, lacks a column, or has a row that cannot be understood; names the row.
    """

    file: Path
    """The table."""
    label: tuple[str, ...] = ("label",)
    """The columns of labels: each is a head."""
    multi: tuple[str, ...] = ()
    """Which of them may hold several classes at once, separated by semicolons."""
    number: tuple[str, ...] = ()
    """Which of them hold numbers, to be predicted as such."""
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
    image_rate: float | None = None
    """Frames per second of clips that are folders of images; None: 25."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        object.__setattr__(self, "file", Path(self.file))
        for name in ("label", "multi", "number"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.label or len(set(self.label)) != len(self.label):
            raise ConfigError(f"label={self.label} must name one column or more, each once.")
        for name, columns in (("multi", self.multi), ("number", self.number)):
            others = sorted(set(columns) - set(self.label))
            if others:
                raise ConfigError(f"{name} names {', '.join(others)}, which label={self.label} does not.")
        if set(self.multi) & set(self.number):
            raise ConfigError(f"{', '.join(set(self.multi) & set(self.number))} cannot be multi and number.")
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
    def place(self) -> str:
        """The table."""
        return str(self.file)

    def read(self) -> Listing:
        """Read the table; samples are in its order, and heads are named as their columns."""
        asked = [self.path, *self.label, self.start, self.end, self.split, self.group]
        rows = read_rows(self.file, [name for name in asked if name is not None])
        labels = Labels(tuple(self._head(column, rows) for column in self.label))
        indices = [{name: number for number, name in enumerate(head.classes)} for head in labels.heads]
        samples = [
            self._sample(row, [label_of(*pair, row) for pair in zip(labels.heads, indices, strict=True)])
            for row in rows
        ]
        if self.split is None:
            splits = divide(samples, self.fractions, lambda s: stratum(labels, s), lambda s: s.group)
            samples = [replace(s, split=split) for s, split in zip(samples, splits, strict=True)]
        return Listing(labels=labels, samples=samples)

    def _head(self, column: str, rows: Sequence[Row]) -> Head:
        cells = {row[column] for row in rows} - {""}
        if not cells:
            raise DataError(f"{self.file}: the column {column!r} is empty.")
        if column in self.number:
            return Head(column, (column,), "number")
        if column not in self.multi:
            return Head(column, tuple(sorted(cells)))
        classes = sorted({name for cell in cells for name in several(cell)})
        if not classes:
            raise DataError(f"{self.file}: the column {column!r} names no class.")
        return Head(column, tuple(classes), "multi")

    def _sample(self, row: Row, labels: Sequence[Label]) -> Sample:
        path = row.text(self.path)
        if all(label == UNKNOWN for label in labels):
            raise DataError(f"{row.where}: no label in {', '.join(self.label)}.")
        start, end = self._seconds(self.start, row), self._seconds(self.end, row)
        if start is not None and end is not None and end <= start:
            raise DataError(f"{row.where}: the clip ends ({end:g} s) no later than it starts ({start:g} s).")
        return Sample(
            path=self.file.parent / path,
            labels=tuple(labels),
            start_seconds=None if start is None else max(start - self.margin_seconds, 0.0),
            end_seconds=None if end is None else end + self.margin_seconds,
            split="train" if self.split is None else row.text(self.split),
            group=None if self.group is None else row[self.group],
            image_rate=self.image_rate,
        )

    def _seconds(self, column: str | None, row: Row) -> float | None:
        """A cell as seconds; an empty one as None."""
        if column is None or not row[column]:
            return None
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise DataError(
                f"{row.where}: {column}={row[column]!r} is not a number of {self.unit} from 0 on."
            )
        return value if self.frame_rate is None else value / self.frame_rate


def several(cell: str) -> list[str]:
    """The classes in a cell."""
    return [name.strip() for name in cell.split(SEPARATOR) if name.strip()]


def label_of(head: Head, index: dict[str, int], row: Row) -> Label:
    """A cell as a label; an empty one as `UNKNOWN`."""
    cell = row[head.name]
    if not cell:
        return UNKNOWN
    if head.kind == "single":
        return index[cell]
    if head.kind == "multi":
        return tuple(sorted({index[name] for name in several(cell)}))
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{row.where}: {head.name}={cell!r} is not a number.")
    return (value,)
