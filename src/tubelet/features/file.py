"""`Features`: a file of features, read as far as it is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.results import label_of
from tubelet.features.columns import VECTOR, ArrowTable, check_parquet
from tubelet.features.description import KEY, MODEL, Description
from tubelet.labels import Head, Label, Labels

READ_BYTES = 2**25
"""Of features that are in memory on the way from the file to where they belong."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """A file that `extract_features` wrote: what made it, its rows, and the vectors when they are asked for."""

    file: Path
    description: Description

    @cached_property
    def rows(self) -> ArrowTable:
        """All columns but the vectors, a row for each video; see `tubelet.features.columns`."""
        with self._opened() as opened:
            return opened.read([name for name in opened.schema_arrow.names if name != VECTOR])

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which rows have features, `(videos,)`; the others say in `error` why not."""
        return np.array([error is None for error in self.rows["error"].to_pylist()], dtype=bool)

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """Path and error of each video without features."""
        pairs = zip(self.rows["path"].to_pylist(), self.rows["error"].to_pylist(), strict=True)
        return [(path, error) for path, error in pairs if error is not None]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in the order of the rows."""
        return tuple(name for name in dict.fromkeys(self.rows["split"].to_pylist()) if name is not None)

    @property
    def per_token(self) -> bool:
        """Whether a row has the vector of every token."""
        return self.description.pool == "none"

    def of_split(self, split: str) -> NDArray[np.bool_]:
        """Which rows are of a split and have features.

        Raises:
            DataError: if there are none.
        """
        named = np.array([name == split for name in self.rows["split"].to_pylist()], dtype=bool)
        if not (named & self.answered).any():
            there = ", ".join(self.splits) or "none"
            raise DataError(f"{self.file} has no features of the split {split!r}. Splits: {there}.")
        return named & self.answered

    def head(self, name: str) -> Head:
        """A head by its name.

        Raises:
            ConfigError: if there is none.
        """
        found = {head.name: head for head in self.description.heads}
        if name not in found:
            there = ", ".join(found) or "none: its videos have no labels"
            raise ConfigError(f"{self.file} has no head {name!r}. It has: {there}.")
        return found[name]

    def labels(self, head: str) -> list[Label]:
        """The label of every row for a head, in the numbers of its classes; `UNKNOWN` (-1) where nobody said."""
        chosen = self.head(head)
        index: dict[str, Label] = {}
        if chosen.kind == "single":
            index = {name: number for number, name in enumerate(chosen.classes)}
        names = self.rows[f"{head}.label"].to_pylist()
        return [
            UNKNOWN if name is None else index[name] if isinstance(name, str) else label_of(chosen, name)
            for name in names
        ]

    def labelled(self, head: str) -> NDArray[np.bool_]:
        """Which rows have features and a label for a head, `(videos,)`."""
        return self.answered & np.array([label != UNKNOWN for label in self.labels(head)], dtype=bool)

    def targets(self, head: str, chosen: NDArray[np.bool_]) -> Tensor:
        """The labels of chosen rows for a head, float32 `(N, classes)`, as `Labels.targets` has them."""
        labels = self.labels(head)
        return Labels((self.head(head),)).targets([(labels[row],) for row in np.flatnonzero(chosen)])

    def vector_of(self, features: Tensor) -> Tensor:
        """What `vectors` has of the features `(*shape,)` of a video."""
        return torch.from_numpy(self._as_vectors(features[None].numpy()))[0]

    def vectors(self, chosen: NDArray[np.bool_] | None = None) -> Tensor:
        """One vector for each of some rows, float32 `(N, D)`: all of them are in memory then.

        Of `moments` those of all moments side by side; of tokens their mean.

        Args:
            chosen: which rows, `(videos,)`; None: all that have features.
        """
        chosen = self.answered if chosen is None else chosen & self.answered
        found = torch.empty(int(chosen.sum()), self.width)
        place = 0
        for _, part in self._parts(chosen):
            found[place : place + len(part)] = torch.from_numpy(self._as_vectors(part))
            place += len(part)
        return found

    def tokens(self, chosen: NDArray[np.bool_] | None = None) -> Tensor:
        """The tokens of some rows, of all views, `(N, tokens, D)`, in the precision of the file.

        Raises:
            ConfigError: if the file does not have them.
        """
        if not self.per_token:
            raise ConfigError(
                f"{self.file} has one vector for each video, or each moment of it: tokens are in a file that was "
                "made with a layer of tokens and pool='none', such as --layer encoder --pool none."
            )
        chosen = self.answered if chosen is None else chosen & self.answered
        shape = self.description.shape
        found = torch.empty(
            (int(chosen.sum()), self.description.values // shape[-1], shape[-1]),
            dtype=getattr(torch, self.description.storage),
        )
        place = 0
        for _, part in self._parts(chosen):
            found[place : place + len(part)] = torch.from_numpy(part).flatten(1, -2)
            place += len(part)
        return found

    @property
    def width(self) -> int:
        """D of `vectors`."""
        shape = self.description.shape
        return shape[-1] if self.per_token else self.description.values

    def parts(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """All rows that have features, some at a time: their places, and their `vectors`."""
        for places, part in self._parts(self.answered):
            yield places, torch.from_numpy(self._as_vectors(part))

    def _as_vectors(self, part: NDArray[Any]) -> NDArray[np.float32]:
        numbers = part.astype(np.float32, copy=False)
        if self.per_token:
            return numbers.reshape(len(part), -1, part.shape[-1]).mean(axis=1)
        return numbers.reshape(len(part), -1)

    def _parts(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Places and features `(n, *shape)` of chosen rows, all of which have some."""
        size = max(1, READ_BYTES // self.description.row_bytes)
        start = 0
        with self._opened() as opened:
            for batch in opened.iter_batches(size, columns=[VECTOR]):
                end = start + len(batch)
                wanted, there = chosen[start:end], self.answered[start:end]
                if wanted.any():
                    flat: NDArray[Any] = batch.column(0).flatten().to_numpy()  # without those that are null
                    part = flat.reshape(-1, *self.description.shape)[wanted[there]]
                    yield np.flatnonzero(wanted) + start, np.ascontiguousarray(part)
                start = end

    def _opened(self) -> Any:
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(self.file, pre_buffer=False)  # else it keeps all that it has read


def read_features(file: str | Path) -> Features:
    """A file that `extract_features` wrote. No vector is read yet.

    Raises:
        DataError: if there is none, or it is damaged, or another table.
        ConfigError: without pyarrow.
    """
    check_parquet()
    import pyarrow as pa
    import pyarrow.parquet

    file = Path(file)
    if not file.is_file():
        raise DataError(f"There is no file {file}: `tubelet features` makes one.")
    try:
        metadata = pyarrow.parquet.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is no Parquet file, or damaged: {error}") from error
    if KEY not in metadata:
        raise DataError(f"{file} was not made by `tubelet features`: it does not say by which model.")
    return Features(file=file, description=Description.from_json(metadata[KEY], file))


def check_comparable(one: Features, other: Features) -> None:
    """Refuse two files whose vectors mean other things.

    Raises:
        DataError: listing what differs.
    """
    differences = one.description.differences(other.description, MODEL)
    if differences:
        raise DataError(
            f"{one.file} and {other.file} are features of other kinds. What differs:\n  "
            + "\n  ".join(differences)
        )
