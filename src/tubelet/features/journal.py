"""A file of features while it is being made: what is done is on the disk, so that a killed extraction goes on.

Beside `OUT.parquet` stands a folder `OUT.parquet.parts`, with the description of the work and a file for every few
batches of videos. When all is done, the parts become one file in the order of the videos, which is put in its place
whole, and the folder goes away. Neither the bytes of that file nor its rows tell how often the work was stopped.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tubelet.data.source import Sample
from tubelet.errors import DataError
from tubelet.features.columns import ArrowSchema, ArrowTable, Row, schema_of, table_of
from tubelet.features.description import Description

GROUP_BYTES = 2**26
"""Of features in a row group of the file: what a reader holds at a time."""
DESCRIPTION = "description.json"


def parts_of(out: Path) -> Path:
    """The folder of unfinished work."""
    return out.with_name(f"{out.name}.parts")


def begin(out: Path, description: Description) -> set[int]:
    """Make the folder, or go on in it: the videos that are done.

    Raises:
        DataError: if it holds other work.
    """
    folder = parts_of(out)
    file = folder / DESCRIPTION
    if not file.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} exists and holds no features: name another file than {out}.")
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{DESCRIPTION}.part"
        scratch.write_text(description.to_json() + "\n", encoding="utf-8")
        scratch.replace(file)
        return set()
    there = Description.from_json(file.read_text(encoding="utf-8"), file)
    differences = there.differences(description)
    if differences:
        raise DataError(
            f"{folder} holds the beginning of other features: name another file than {out}, or remove the folder. "
            "What differs:\n  " + "\n  ".join(differences)
        )
    return {index for part in parts(folder) for index in read(part, ["index"])["index"].to_pylist()}


def write(out: Path, rows: Sequence[Row], samples: Sequence[Sample], description: Description) -> None:
    """Put rows of neighbouring videos on the disk; when this returns, they outlive the process."""
    import pyarrow.parquet

    part = parts_of(out) / f"{rows[0].index:09}-{rows[-1].index:09}.parquet"
    scratch = part.with_suffix(".part")
    pyarrow.parquet.write_table(table_of(rows, samples, description), scratch, use_dictionary=False)
    scratch.replace(part)


def finish(out: Path, description: Description) -> None:
    """Make one file of the parts."""
    import pyarrow as pa
    import pyarrow.parquet

    size = max(1, GROUP_BYTES // description.row_bytes)
    folder = parts_of(out)
    file = folder / DESCRIPTION
    schema = schema_of(Description.from_json(file.read_text(encoding="utf-8"), file))
    scratch = out.with_name(f"{out.name}.part")
    text: Any = [field.name for field in schema if pa.types.is_string(field.type)]
    with pyarrow.parquet.ParquetWriter(scratch, schema, use_dictionary=text) as writer:
        for group in grouped(in_order(folder, schema), size):
            writer.write_table(group, row_group_size=size)
    scratch.replace(out)
    shutil.rmtree(folder)


def in_order(folder: Path, schema: ArrowSchema) -> Iterator[ArrowTable]:
    """The rows of all parts, each video once, in the order of the videos."""
    ahead = 0
    for part in parts(folder):
        table = read(part).cast(schema)
        index = table["index"].to_numpy()
        known = int(np.searchsorted(index, ahead))  # done twice, in batches of another size
        if known < len(index):
            assert index[known] == ahead, f"{folder} has no row {ahead}"
            ahead = int(index[-1]) + 1
            yield table.slice(known)


def grouped(tables: Iterator[ArrowTable], size: int) -> Iterator[ArrowTable]:
    """The same rows in tables of `size` rows; the last one may have fewer."""
    import pyarrow as pa

    waiting: list[Any] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= size:
            together = pa.concat_tables(waiting)
            whole = count // size * size
            for start in range(0, whole, size):
                yield together.slice(start, size).combine_chunks()
            waiting, count = [together.slice(whole)], count - whole
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def parts(folder: Path) -> list[Path]:
    """The files of unfinished work, in the order of their first videos."""
    return sorted(folder.glob("*.parquet"))


def read(part: Path, columns: Sequence[str] | None = None) -> ArrowTable:
    """A part.

    Raises:
        DataError: if it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(part).read(None if columns is None else list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{part} is damaged: remove it, and its videos are computed again.") from error
