"""`Source`: where labelled clips come from; `Sample`: one of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from tubelet.data.stored import Stored
from tubelet.errors import ConfigError, DataError, DecodeError
from tubelet.labels import UNKNOWN as UNKNOWN
from tubelet.labels import Label, Labels
from tubelet.video.decode import Video

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled clip: a video, or a part of one."""

    path: Path
    """The video: a file or a folder of images; of a clip in a shard its name there."""
    labels: tuple[Label, ...]
    """For each head of the source's `labels`, the class, classes or numbers; `UNKNOWN` (-1) where nobody said."""
    start_seconds: float | None = None
    """Where in the video the clip starts; None: at its beginning."""
    end_seconds: float | None = None
    """Where in the video the clip ends; None: at its end."""
    split: str = "train"
    """`train`, `val`, `test`, or a name of the source's own."""
    group: str | None = None
    """What must not be torn apart by a split: a speaker, a recording, an animal."""

    id: str | None = None
    """What the dataset itself calls the clip, where it does, such as the `narration_id` of EPIC-Kitchens."""
    image_rate: float | None = None
    """Frames per second of a folder of images; None: as `Video` has it."""
    stored: Stored | None = None
    """Where the bytes of a clip in a shard are; None: the video is a file or folder of its own."""

    @property
    def name(self) -> str:
        """What messages call it: the path, and the times where it is a part of a video."""
        place = str(self.path) if self.stored is None else f"{self.stored.file}:{self.path}"
        if self.start_seconds is None and self.end_seconds is None:
            return place
        end = "end" if self.end_seconds is None else f"{self.end_seconds:g} s"
        return f"{place} [{self.start_seconds or 0:g} s to {end}]"

    def open(self) -> Video:
        """The clip as a video.

        Raises:
            DecodeError: if it cannot be read.
            DataError: if the shard that holds it cannot be reached, or is not what its index says.
        """
        start, end = self.start_seconds, self.end_seconds
        if self.stored is None:
            rate = self.image_rate if self.image_rate is not None and self.path.is_dir() else None
            return Video(self.path, start_seconds=start, end_seconds=end, frame_rate=rate)
        try:
            return Video(self.stored.read(), start_seconds=start, end_seconds=end)
        except DecodeError as error:
            raise DecodeError(f"{self.name}: {error}") from error


class Source(Protocol):
    """Labelled clips in splits. A source is a value: asked twice, it says the same in the same order."""

    @property
    def labels(self) -> Labels:
        """The heads and their classes."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have clips."""
        ...

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, in a fixed order.

        Raises:
            DataError: if there is no such split, or the data are not what they say.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a source has."""

    labels: Labels
    samples: Sequence[Sample]
    """Of all splits."""
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """For each split, what is annotated and not on the disk."""


class Listed(ABC):
    """A source that reads all it has when it is first asked for something."""

    @abstractmethod
    def read(self) -> Listing:
        """Read everything.

        Raises:
            DataError: if the data are not what they say.
        """

    @property
    @abstractmethod
    def place(self) -> str:
        """What messages call the source."""

    @property
    def labels(self) -> Labels:
        """The heads and their classes."""
        return self._listing.labels

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have clips: `train`, `val` and `test` first, then others by name."""
        usual = ("train", "val", "test")
        there = {sample.split for sample in self._listing.samples}
        return (*(name for name in usual if name in there), *sorted(there - set(usual)))

    @property
    def missing(self) -> Mapping[str, tuple[str, ...]]:
        """For each split, what is annotated and not on the disk: left out of `samples`."""
        return self._listing.missing

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, in a fixed order.

        Raises:
            DataError: if there are none, or the data are not what they say.
        """
        return of_split(self._listing.samples, split, self.place)

    @cached_property
    def _listing(self) -> Listing:
        return self.read()


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


def stratum(labels: Labels, sample: Sample) -> Hashable:
    """What clips have in common that are divided by themselves: the classes of the heads that have one class each."""
    pairs = zip(labels.heads, sample.labels, strict=True)
    return tuple(label for head, label in pairs if head.kind == "single")


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
