"""Annotation files as rows that know their line."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells, without spaces around them, and where it stands."""

    where: str
    """File and line, for messages."""
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def text(self, column: str) -> str:
        """A cell that must not be empty.

        Raises:
            DataError: if it is.
        """
        if not self.cells[column]:
            raise DataError(f"{self.where}: the column {column!r} is empty.")
        return self.cells[column]

    def integer(self, column: str, below: int | None = None) -> int:
        """A cell as a whole number from 0 on.

        Raises:
            DataError: if it is none, or not below `below`.
        """
        cell = self.cells[column]
        if not (cell.isdecimal() and cell.isascii()) or (below is not None and int(cell) >= below):
            upto = "on" if below is None else f"to {below - 1}"
            raise DataError(f"{self.where}: {column}={cell!r} is not a whole number from 0 {upto}.")
        return int(cell)

    def seconds(self, column: str) -> float:
        """A cell `HH:MM:SS.ff` as seconds.

        Raises:
            DataError: if it is none.
        """
        try:
            hours, minutes, rest = self.cells[column].split(":")
            value = 3600 * int(hours) + 60 * int(minutes) + float(rest)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise DataError(f"{self.where}: {column}={self.cells[column]!r} is not a time HH:MM:SS.ff.")
        return value


def read_rows(
    file: Path, columns: Sequence[str], header: Sequence[str] | None = None, empty: bool = False
) -> list[Row]:
    """The rows of a CSV file.

    Args:
        file: the file.
        columns: what it must have at least.
        header: the names of the columns of a file that does not say them in its first line.
        empty: it may have no rows.

    Raises:
        DataError: if there is no such file, it is no CSV, lacks rows or a column, or a row has too many cells.
    """
    if not file.is_file():
        raise DataError(f"There is no file {file}.")
    rows: list[Row] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, fieldnames=header, restval="")
            there = list(reader.fieldnames or [])
            absent = [name for name in columns if name not in there]
            if absent:
                raise DataError(
                    f"{file} has no column {', '.join(absent)}. Its columns are: {', '.join(there)}."
                )
            for row in reader:
                where = f"{file}, line {reader.line_num}"
                if None in row:
                    raise DataError(f"{where}: more cells than columns.")
                rows.append(Row(where, {name: cell.strip() for name, cell in row.items()}))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is no CSV file of UTF-8 text: {error}.") from error
    if not rows and not empty:
        raise DataError(f"{file} has no rows.")
    return rows


def read_lines(file: Path) -> list[tuple[str, str]]:
    """The lines of a text file that are not empty, each with its place for messages.

    Raises:
        DataError: if there is no such file, or it is no text.
    """
    if not file.is_file():
        raise DataError(f"There is no file {file}.")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text: {error}.") from error
    return [(f"{file}, line {i}", line.strip()) for i, line in enumerate(lines, start=1) if line.strip()]


def read_json(file: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        DataError: if there is no such file, or it is no JSON.
    """
    if not file.is_file():
        raise DataError(f"There is no file {file}.")
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{file} is no JSON file: {error}.") from error


def in_order(names: dict[int, str], file: Path) -> tuple[str, ...]:
    """Numbered classes as a list.

    Raises:
        DataError: if the numbers are not 0, 1, 2 ...
    """
    gaps = sorted(set(range(len(names))) - set(names))
    if gaps:
        raise DataError(f"{file}: {len(names)} classes, of which none has the number {gaps[0]}.")
    return tuple(names[number] for number in range(len(names)))
