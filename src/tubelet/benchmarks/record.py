"""A table as it was measured: kept as JSON, shown in a terminal, and written into docs/benchmarks.md."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Record:
    """A table, and the numbers behind it."""

    name: str
    """Of its file."""
    title: str
    about: str
    """What was measured, and how: a paragraph of Markdown."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Cells as they are read."""
    notes: Sequence[str] = ()
    """Sentences below the table."""
    machine: str
    seconds: float
    """That the whole table took."""
    measured: Any = field(default_factory=dict)
    """Every single number, in plain values."""

    def __post_init__(self) -> None:
        """Rows are as wide as the heading."""
        assert all(len(row) == len(self.columns) for row in self.rows), (
            "a row has other columns than the heading"
        )

    def write(self, folder: Path) -> Path:
        """Write NAME.json into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.json"
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return file

    @classmethod
    def read(cls, file: Path) -> "Record":
        """What `write` wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def table(self) -> Table:
        """For a terminal."""
        table = Table(
            title=self.title, caption="\n".join([*self.notes, self.machine]), caption_justify="left"
        )
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number and self.numeric(number) else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are set to the right."""
        return all(not row[column] or row[column][0].isdigit() for row in self.rows)

    def markdown(self) -> str:
        """A section of docs/benchmarks.md."""
        marks = ["---:" if n and self.numeric(n) else "---" for n in range(len(self.columns))]
        lines = [list(self.columns), marks, *(list(row) for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "".join(f"\n{note}" for note in self.notes)
        return f"## {self.title}\n\n{self.about}\n\n{table}\n{notes}\n{self.machine}. Took {self.seconds:.0f} s.\n"


HEAD = """# Benchmarks

Written by `tubelet bench --docs` from the JSON files in `benchmarks/`, which hold every single time too. `make bench`
measures them all anew.

Programs take turns (A B A B) in one process; times are medians, with the middle half of the rounds in brackets;
*times as fast* is the median of the ratios round by round. Both sides first answer the same input, and their largest
difference is given as a share of the largest answer. TFLOP/s count a multiply-add of a matrix product as two and
nothing else, and are set beside the quickest square matrix product in that precision in the same run.
"""


def page(records: Iterable[Record]) -> str:
    """docs/benchmarks.md."""
    return "\n".join([HEAD, *(record.markdown() for record in records)])
