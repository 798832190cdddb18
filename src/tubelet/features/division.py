"""Which videos of a file a probe learns from, which choose its settings, and which are measured."""

import random
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.data.source import Fractions, divide
from tubelet.errors import ConfigError, DataError
from tubelet.features.file import Features
from tubelet.labels import Head

HELD_OUT = 0.2
"""Share of the training videos that choose the settings where no split `val` does."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One head's part of the files: which rows learn, choose and are measured."""

    head: Head
    train: Features
    test: Features
    learn: NDArray[np.bool_]
    """Rows of `train`."""
    choose: NDArray[np.bool_]
    """Rows of `train` that choose the settings."""
    own_split: bool
    """Whether those have a split of their own; else they were taken off those that learn, and learn in the end."""
    measure: NDArray[np.bool_]
    """Rows of `test`."""


def divided(train: Features, test: Features | None, name: str, split: str, seed: int) -> Task:
    """The rows that have a label for a head: those that learn, choose and are measured.

    Raises:
        DataError: if there are none, or the two files know other classes.
        ConfigError: if there is no such head, or it is one of numbers.
    """
    head = train.head(name)
    if head.kind == "number":
        raise ConfigError(f"The head {name!r} is one of numbers, and probes answer classes.")
    measure_from = train if test is None else test
    if measure_from.head(name).classes != head.classes or measure_from.head(name).kind != head.kind:
        raise DataError(
            f"{train.file} and {measure_from.file} know other classes of {name!r}: extract both from one source."
        )
    labelled = train.labelled(name)
    if test is None:
        measure = train.of_split(split) & labelled
        learn = train.of_split("train") & labelled
        if split == "train":
            raise ConfigError("split='train' is what the probes learn from: measure another.")
    else:
        measure, learn = test.labelled(name), labelled
    choose = np.zeros_like(learn)
    own = "val" in train.splits and (test is not None or split != "val")
    if own:
        choose = train.of_split("val") & labelled
        learn &= ~choose
        own = bool(choose.any())
    if not own:
        choose = held_out(train, head, learn, seed)
        learn = learn & ~choose
    for rows, what in ((learn, "learn from"), (choose, "choose the settings on"), (measure, "measure")):
        if not rows.any():
            raise DataError(f"There are no videos with a label {name!r} to {what}.")
    return Task(
        head=head,
        train=train,
        test=measure_from,
        learn=learn,
        choose=choose,
        own_split=own,
        measure=measure,
    )


def held_out(train: Features, head: Head, learn: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """A share of the rows that learn: of each class some, and groups whole."""
    labels, groups = train.labels(head.name), train.rows["group"].to_pylist()
    rows = [int(row) for row in np.flatnonzero(learn)]
    # Rows are often sorted by class, and small classes would all give their first.
    random.Random(seed).shuffle(rows)
    grouped = all(groups[row] is not None for row in rows)

    def stratum(row: int) -> Hashable:
        return labels[row] if head.kind == "single" else 0

    splits = divide(
        rows,
        Fractions(val=HELD_OUT, test=0.0, seed=seed),
        stratum,
        lambda row: groups[row] if grouped else None,
    )
    chosen = np.zeros_like(learn)
    chosen[[row for row, part in zip(rows, splits, strict=True) if part == "val"]] = True
    return chosen


def units_of(features: Features, rows: NDArray[np.bool_]) -> Tensor:
    """What the bootstrap draws as one: the groups of some rows; a row without one is by itself."""
    groups = features.rows["group"].to_pylist()
    numbers: dict[Hashable, int] = {}
    names = [groups[row] if groups[row] is not None else int(row) for row in np.flatnonzero(rows)]
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])
