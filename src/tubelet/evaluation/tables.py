"""The rows of results as a table for other programs: CSV for spreadsheets, Parquet for data frames.

A row for each video. Of each head: `HEAD.label`, the best answers `HEAD.top` with their `HEAD.probabilities`, and all
`HEAD.logits`. What is a list is one in Parquet, and JSON in a cell of a CSV.
"""

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from tubelet.errors import ConfigError
from tubelet.evaluation.results import Results

TableFormat = Literal["csv", "parquet"]


def check_table(kind: TableFormat) -> None:
    """Refuse a format that cannot be written, before there is anything to write.

    Raises:
        ConfigError: without the package that writes it.
    """
    if kind == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError("Parquet needs pyarrow: pip install 'tubelet[parquet]', or take CSV.")


def write_table(results: Results, folder: Path, kind: TableFormat) -> Path:
    """Write the rows as `videos.csv` or `videos.parquet` into a folder, over what is there; returns the file.

    Raises:
        ConfigError: for Parquet without pyarrow.
    """
    check_table(kind)
    rows = [flat(row.to_dict(results.labels)) for row in results.rows]
    file = folder / f"videos.{kind}"
    scratch = folder / f"videos.{kind}.part"
    if kind == "csv":
        with scratch.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), scratch)
    scratch.replace(file)
    return file


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """A row without anything in it but plain values and lists of them."""
    row = {name: value for name, value in values.items() if name != "heads"}
    for name, head in values["heads"].items():
        row |= {
            f"{name}.label": head["label"],
            f"{name}.top": [answer["label"] for answer in head["top"]],
            f"{name}.probabilities": [answer["probability"] for answer in head["top"]],
            f"{name}.logits": head["logits"],
        }
    return row


def cell(value: Any) -> Any:
    """A value as a spreadsheet takes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
