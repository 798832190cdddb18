"""Rows of features as columns of a Parquet file.

`index` (place among the videos), `path`, `start_seconds`, `end_seconds` (of a part of a video), `id`, `group`,
`split`, `HEAD.label` for each head (a class; a list of classes of a `multi` head; a list of numbers of a `number`
head), `error` (why a video could not be read) and `vector` (its features, flattened; null where there is an error).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tubelet.data.source import Sample
from tubelet.data.stored import is_url
from tubelet.errors import ConfigError
from tubelet.evaluation.results import label_name
from tubelet.features.description import KEY, Description

if TYPE_CHECKING:
    from numpy.typing import NDArray

ArrowSchema = Any
"""A `pyarrow.Schema`; pyarrow, which may be absent, does not say its types."""
ArrowTable = Any
"""A `pyarrow.Table`."""
VECTOR = "vector"


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """What became of one video."""

    index: int
    """Its place among the videos."""
    vector: "NDArray[np.float32] | None"
    """Its features, in the shape of the description; None where there is an error."""
    error: str | None = None
    """Why it could not be read, or has no features."""


def check_parquet() -> None:
    """Refuse to begin what could not be written or read.

    Raises:
        ConfigError: without the package that does it.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(
            "Features are kept as Parquet, which needs pyarrow: pip install 'tubelet[parquet]'."
        )


def schema_of(description: Description) -> ArrowSchema:
    """The columns, with the description as metadata."""
    import pyarrow as pa

    types = {"single": pa.string(), "multi": pa.list_(pa.string()), "number": pa.list_(pa.float64())}
    number = pa.float16() if description.storage == "float16" else pa.float32()
    columns = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start_seconds", pa.float64()),
        pa.field("end_seconds", pa.float64()),
        pa.field("id", pa.string()),
        pa.field("group", pa.string()),
        pa.field("split", pa.string()),
        *(pa.field(f"{head.name}.label", types[head.kind]) for head in description.heads),
        pa.field("error", pa.string()),
        pa.field(VECTOR, pa.list_(number, description.values)),
    ]
    return pa.schema(columns, metadata={KEY: description.to_json().encode()})


def table_of(rows: Sequence[Row], samples: Sequence[Sample], description: Description) -> ArrowTable:
    """Rows as a table.

    Args:
        rows: what became of some videos.
        samples: all videos.
        description: of the file.
    """
    import pyarrow as pa

    schema = schema_of(description)
    chosen = [samples[row.index] for row in rows]
    columns: dict[str, Any] = {
        "index": [row.index for row in rows],
        "path": [path_of(sample) for sample in chosen],
        "start_seconds": [sample.start_seconds for sample in chosen],
        "end_seconds": [sample.end_seconds for sample in chosen],
        "id": [sample.id for sample in chosen],
        "group": [sample.group for sample in chosen],
        "split": [sample.split or None for sample in chosen],
        "error": [row.error for row in rows],
    }
    for place, head in enumerate(description.heads):
        columns[f"{head.name}.label"] = [label_name(head, sample.labels[place]) for sample in chosen]
    numbers = np.zeros((len(rows), description.values), description.storage)
    for place, row in enumerate(rows):
        if row.vector is not None:
            numbers[place] = row.vector.reshape(-1)
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(numbers.reshape(-1)),
        type=schema.field(VECTOR).type,
        mask=pa.array([row.vector is None for row in rows]),
    )
    arrays = [
        vectors if field.name == VECTOR else pa.array(columns[field.name], field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def path_of(sample: Sample) -> str:
    """The absolute path of the file or folder; of a clip in a shard that of the shard, and its name there."""
    if sample.stored is None:
        return os.path.abspath(sample.path)
    shard = sample.stored.file
    return f"{shard if is_url(shard) else os.path.abspath(shard)}:{sample.path}"
