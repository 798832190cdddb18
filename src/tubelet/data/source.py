"""`Source`: where labelled clips come from; `Sample`: one of them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from tubelet.errors import ConfigError, DataError
from tubelet.labels import UNKNOWN as UNKNOWN
from tubelet.labels import Label, Labels

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled clip: a video, or a part of one."""

    path: Path
    """The video: a file or a folder of images."""
    labels: tuple[Label, ...]
    """For each head of the source's `labels`, the class (or classes, or numbers); `UNKNOWN` (-1) where nobody said."""
    start_seconds: float | None = None
    """Where in the video the clip starts; None: at its beginning."""
    end_seconds: float | None = None
    """Where in the video the clip ends; None: at its end."""
    split: str = "train"
    """`train`, `val`, `test`, or a name of the source's own."""
    group: str | None = None
    """What must not be torn apart by a split: a speaker, a recording, an animal."""

    @property
    def name(self) -> str:
        """What messages call it: the path, and the times where it is a part of a video."""
        if self.start_seconds is None and self.end_seconds is None:
            return str(self.path)
        end = "end" if self.end_seconds is None else f"{self.end_seconds:g} s"
        return f"{self.path} [{self.start_seconds or 0:g} s to {end}]"


class Source(Protocol):
    """Labelled clips in splits. A source is a value: asked twice, it says the same in the same order."""

    @property
    def labels(self) -> Labels:
        """The heads and their classes."""
        ...

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, in a fixed order.

        Raises:
            DataError: if there is no such split, or the data are not what they say.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """How clips without a split of their own are divided, at random but always alike."""

    val: float = 0.15
    """Share of the clips (or groups) held out to choose the best epoch."""
    test: float = 0.15
    """Share held out for the final number."""
    seed: int = 0
    """Another seed gives another division."""

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise ConfigError(
                f"val={self.val} and test={self.test} are shares of the data: each from 0, together below 1."
            )


def divide(
    items: Sequence[T],
    fractions: Fractions,
    stratum: Callable[[T], Hashable],
    group: Callable[[T], str | None],
) -> list[str]:
    """Give each item `train`, `val` or `test`.

    Items of one group stay together. Without groups each stratum (class) is divided by itself, so that every
    class is in every split as far as it has enough items.

    Args:
        items: what is divided; its order matters to the result.
        fractions: how much goes where.
        stratum: the class of an item.
        group: the group of an item; None for all of them, or for none.

    Returns:
        The split of each item.

    Raises:
        DataError: if some items have a group and others none.
    """
    groups = [group(item) for item in items]
    if None in groups and any(name is not None for name in groups):
        raise DataError(
            "Some clips have a group and others none: give every clip its group, or none of them."
        )
    grouped = groups[:1] != [None]
    units: dict[Hashable, dict[Hashable, list[int]]] = {}  # stratum -> unit -> items
    for index, item in enumerate(items):
        first, second = ("all", groups[index]) if grouped else (stratum(item), index)
        units.setdefault(first, {}).setdefault(second, []).append(index)
    generator = torch.Generator().manual_seed(fractions.seed)
    splits = ["train"] * len(items)
    for members in units.values():
        order = torch.randperm(len(members), generator=generator).tolist()
        lists = list(members.values())
        val, test = (round(share * len(lists)) for share in (fractions.val, fractions.test))
        for place, chosen in enumerate(order):
            split = "val" if place < val else "test" if place < val + test else "train"
            for index in lists[chosen]:
                splits[index] = split
    return splits


def of_split(samples: Sequence[Sample], split: str, where: str) -> list[Sample]:
    """The samples of one split.

    Raises:
        DataError: if there are none; says which splits there are.
    """
    found = [sample for sample in samples if sample.split == split]
    if not found:
        there = ", ".join(sorted({sample.split for sample in samples}))
        raise DataError(f"{where} has no clips in the split {split!r}. There are: {there}.")
    return found
