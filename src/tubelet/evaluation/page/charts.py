"""The numbers behind the diagrams of a page: where things stand, in pixels. The template draws them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tubelet.evaluation.calibration import Calibration
from tubelet.evaluation.metrics import HeadMetrics
from tubelet.evaluation.multi_label import MultiMetrics
from tubelet.evaluation.page.text import short

TABLE_CLASSES = 12
"""Up to so many classes a confusion matrix is a table with numbers in it; beyond, a heat map."""
NAMED_CLASSES = 80
"""Up to so many classes the rows and columns of a heat map have names."""
PAIRS = 50
"""Most rows in the list of confused pairs."""
SIDE = 240.0
"""Pixels of the axes of a diagram."""
POINTS = 3000
"""Most points in a scatter plot."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two classes, one of which is taken for the other."""

    right: str
    said: str
    videos: int
    """How often."""
    share: float
    """Of the videos of the right class."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A confusion matrix to look at."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Number of videos by right class (row) and answer (column)."""
    cells: tuple[tuple[int, int, int, float], ...]
    """Row, column, number of videos, and their share of the row: of all cells with videos."""
    pairs: tuple[Pair, ...]
    """The classes that are confused most, most frequent first."""
    confused: int
    """Number of all pairs of classes that are confused."""
    orders: dict[str, list[int]]
    """Ways to sort the classes: the numbers of the classes from the top."""

    @property
    def tabular(self) -> bool:
        """Whether there are few enough classes for numbers in a table."""
        return len(self.classes) <= TABLE_CLASSES

    @property
    def named(self) -> bool:
        """Whether names stand beside the rows and columns of the heat map."""
        return len(self.classes) <= NAMED_CLASSES

    @property
    def cell(self) -> float:
        """Pixels of a cell of the heat map."""
        return 12.0 if self.named else max(800 / len(self.classes), 2.0)

    @property
    def margin(self) -> float:
        """Pixels beside the heat map, for names."""
        longest = max(len(short(name)) for name in self.classes)
        return 6.2 * longest + 10 if self.named else 4.0

    @property
    def size(self) -> float:
        """Pixels of the heat map each way, names included."""
        return self.margin + self.cell * len(self.classes) + 4

    @property
    def names_json(self) -> str:
        """The names of the classes, for the script."""
        return json.dumps(self.classes)

    @property
    def orders_json(self) -> str:
        """`orders`, for the script."""
        return json.dumps(self.orders)


def confusion_of(head: HeadMetrics) -> Confusion:
    """The confusion matrix of a head that has one."""
    assert head.confusion is not None
    classes = tuple(head.per_class)
    counts = np.array(head.confusion)
    totals = counts.sum(axis=1)
    places = [(int(r), int(c)) for r, c in np.argwhere(counts)]
    cells = tuple((r, c, int(counts[r, c]), float(counts[r, c] / totals[r])) for r, c in places)
    wrong = sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: (-cell[2], -cell[3]))
    numbers = range(len(classes))
    accuracy = [1.0 if share is None else share for share in head.per_class.values()]
    return Confusion(
        classes=classes,
        counts=head.confusion,
        cells=cells,
        pairs=tuple(
            Pair(right=classes[r], said=classes[c], videos=n, share=share) for r, c, n, share in wrong[:PAIRS]
        ),
        confused=len(wrong),
        orders={
            "as in the model": list(numbers),
            "confused classes side by side": chained(counts),
            "name": sorted(numbers, key=lambda i: classes[i].casefold()),
            "videos, most first": sorted(numbers, key=lambda i: -int(totals[i])),
            "share that is right, least first": sorted(numbers, key=lambda i: accuracy[i]),
        },
    )


def chained(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> list[int]:
    """The classes in a row, each followed by the one of those left that it is confused with most."""
    likeness = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    likeness = likeness + likeness.T
    np.fill_diagonal(likeness, -1)
    chain = [int(likeness.max(axis=1).argmax())]
    while len(chain) < len(counts):
        likeness[:, chain[-1]] = -2
        chain.append(int(likeness[chain[-1]].argmax()))
    return chain


@dataclass(frozen=True, kw_only=True)
class Class:
    """How well one class is known."""

    name: str
    videos: int
    share: float | None
    """Of its videos that is right, or its average precision; None without videos."""
    answered: int = 0
    """How often it was the answer."""
    mistaken: str = ""
    """What is said most often in its place."""
    mistakes: int = 0
    """How often that is said."""


def single_classes(head: HeadMetrics) -> list[Class]:
    """The classes of a `single` head, the worst first."""
    assert head.confusion is not None
    counts = torch.tensor(head.confusion)
    answered = counts.sum(dim=0).tolist()
    wrong = counts - counts.diag().diag()
    most, which = wrong.max(dim=1)
    names = list(head.per_class)
    return worst_first(
        Class(
            name=name,
            videos=head.count_per_class[name],
            share=head.per_class[name],
            answered=answered[i],
            mistaken=names[int(which[i])] if most[i] else "",
            mistakes=int(most[i]),
        )
        for i, name in enumerate(names)
    )


def multi_classes(head: MultiMetrics) -> list[Class]:
    """The classes of a `multi` head, the worst first."""
    return worst_first(
        Class(name=name, videos=head.count_per_class[name], share=share)
        for name, share in head.per_class.items()
    )


def worst_first(classes: Iterable[Class]) -> list[Class]:
    """Sorted by share; classes without videos at the end."""
    return sorted(classes, key=lambda one: (2.0 if one.share is None else one.share, -one.videos))


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bin of a reliability diagram, in pixels."""

    left: float
    width: float
    right: float
    """Height, by the share that is right."""
    sure: float
    """From the left of the diagram, by the mean probability of the answers."""
    videos: float
    """Height, by the number of videos."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """A reliability diagram, in pixels of a square of 240."""

    bars: tuple[Bar, ...]
    """Of each bin with videos."""
    most: int
    """Videos in the bin that has most of them."""
    confidence: float
    """Mean probability of the answers."""
    accuracy: float
    """Share of the answers that is right."""

    @property
    def verdict(self) -> str:
        """What it says in words."""
        off = self.confidence - self.accuracy
        if abs(off) < 0.02:
            return "about as sure as it should be"
        return "too sure of itself" if off > 0 else "less sure than it could be"


def reliability_of(calibration: Calibration) -> Reliability:
    """The diagram of a head's calibration."""
    videos = sum(one.videos for one in calibration.bins)
    most = max(one.videos for one in calibration.bins)
    bars: list[Bar] = []
    confidence = accuracy = 0.0
    for one in calibration.bins:
        if one.confidence is None or one.accuracy is None:
            continue
        confidence += one.confidence * one.videos / videos
        accuracy += one.accuracy * one.videos / videos
        bars.append(
            Bar(
                left=SIDE * one.low,
                width=SIDE * (one.high - one.low),
                right=SIDE * one.accuracy,
                sure=SIDE * one.confidence,
                videos=50 * one.videos / most,
            )
        )
    return Reliability(bars=tuple(bars), most=most, confidence=confidence, accuracy=accuracy)


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Truth against answer of one output, in pixels of a square of 240."""

    name: str
    path: str
    """The points, as the path of a pen."""
    ticks: tuple[tuple[float, str], ...]
    """Of both axes: where, and what stands there."""
    shown: int
    """Number of points drawn."""


def scatter_of(name: str, right: Tensor, said: Tensor) -> Scatter:
    """The diagram of numbers `(N,)`, at least one."""
    step = -(-len(right) // POINTS)
    both = torch.cat([right, said]).double()
    low, high = float(both.min()), float(both.max())
    if high - low < 1e-12 * max(abs(low), 1.0):
        low, high = low - 0.5, high + 0.5
    place = [((column[::step].double() - low) / (high - low) * SIDE).tolist() for column in (right, said)]
    return Scatter(
        name=name,
        path="".join(f"M{x:.1f} {SIDE - y:.1f}h0" for x, y in zip(*place, strict=True)),
        ticks=tuple((SIDE * i / 4, f"{low + (high - low) * i / 4:.3g}") for i in range(5)),
        shown=len(place[0]),
    )
