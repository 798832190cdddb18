"""From probabilities over time to segments: smoothing, two thresholds, least durations, merging."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tubelet.errors import ConfigError
from tubelet.labels import Average, Head

Smooth = Literal["none", "mean", "exponential"]
ENTER_MULTI = 0.5
"""What a class of a `multi` head must reach where nobody says otherwise."""
TOGETHER_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of time in which a class holds."""

    head: str
    label: str
    start_seconds: float
    end_seconds: float
    probability: float
    """Mean over the segment."""
    peak: float
    """The largest in it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "head": self.head,
            "label": self.label,
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "probability": round(self.probability, 4),
            "peak": round(self.peak, 4),
        }


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How answers over time become segments.

    Raises:
        ConfigError: for what cannot be.
    """

    smooth: Smooth = "none"
    """Over time: a centred moving `"mean"`, or an `"exponential"` average of what was before. Never over a cut."""
    smooth_seconds: float = 1.0
    """Width of the mean, or time constant of the exponential average."""
    average: Average = "probabilities"
    """What is smoothed: probabilities, or logits."""
    enter: float | None = None
    """A class begins where its probability reaches this: of a `single` head the best class, and no class below the
    head's own threshold, where the answer is "unknown". None: that threshold; of a `multi` head 0.5."""
    leave: float | None = None
    """It goes on until it falls below this, or another class begins. None: as `enter`, where the best class of a
    `single` head is always the answer."""
    least_seconds: float = 0.0
    """Segments that are shorter are dropped."""
    merge_seconds: float = 0.0
    """Segments of one class that follow each other within this time are one."""
    background: tuple[str, ...] = ()
    """Classes that mean that nothing happens: they have no segments, and end those of others."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.smooth not in get_args(Smooth) or self.average not in get_args(Average):
            raise ConfigError(
                f"smooth={self.smooth!r} of average={self.average!r}: smooth is one of "
                f"{', '.join(get_args(Smooth))}, of {' or '.join(get_args(Average))}."
            )
        if not 0 < self.smooth_seconds < math.inf:
            raise ConfigError(f"smooth_seconds={self.smooth_seconds}; it must be above 0.")
        for name, value in (("least_seconds", self.least_seconds), ("merge_seconds", self.merge_seconds)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name}={value}; it must be 0 or more.")
        for name, value in (("enter", self.enter), ("leave", self.leave)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value}; it is a probability from 0 to 1.")
        if self.leave is not None and (self.enter is None or self.leave > self.enter):
            raise ConfigError(
                f"leave={self.leave} with enter={self.enter}: a class that begins at enter may fall as low as leave; "
                "give both, and leave at most enter."
            )


def smoothed(
    values: NDArray[np.float32], middles: NDArray[np.float64], stretches: NDArray[np.int64], rules: Rules
) -> NDArray[np.float32]:
    """Values over time `(N, K)`, smoothed along it within each stretch.

    Args:
        values: `(N, K)`.
        middles: `(N,)` seconds, growing.
        stretches: `(N,)` which are of one stretch, consecutively.
        rules: how.
    """
    if rules.smooth == "none" or not len(values):
        return values
    parts: list[NDArray[np.float32]] = []
    borders = np.flatnonzero(np.diff(stretches)) + 1
    for part, times in zip(np.split(values, borders), np.split(middles, borders), strict=True):
        if rules.smooth == "mean":
            half = rules.smooth_seconds / 2 + TOGETHER_SECONDS
            first = np.searchsorted(times, times - half)
            last = np.searchsorted(times, times + half, side="right")
            sums = np.concatenate([np.zeros((1, part.shape[1])), np.cumsum(part, axis=0, dtype=np.float64)])
            parts.append(((sums[last] - sums[first]) / (last - first)[:, None]).astype(np.float32))
        else:
            out = part.copy()
            for i in range(1, len(part)):
                weight = 1 - math.exp(-(times[i] - times[i - 1]) / rules.smooth_seconds)
                out[i] = out[i - 1] + weight * (part[i] - out[i - 1])
            parts.append(out)
    return np.concatenate(parts)


def segments_of(
    head: Head, probabilities: NDArray[np.float32], edges: NDArray[np.float64], rules: Rules
) -> list[Segment]:
    """The segments of a head, by their beginnings; of a `multi` head they may overlap. A `number` head has none.

    Args:
        head: its classes, kind and threshold.
        probabilities: `(N, classes)`, smoothed.
        edges: `(N, 2)` seconds from which to which each row holds.
        rules: the thresholds and durations.
    """
    silent = {number for number, name in enumerate(head.classes) if name in rules.background}
    if head.kind == "number":
        return []
    if head.kind == "single":
        held = single_held(probabilities, head, rules)
        labels = [c for c in np.unique(held[held >= 0]).tolist() if c not in silent]
        found = [(c, held == c) for c in labels]
    else:
        enter = ENTER_MULTI if rules.enter is None else rules.enter
        leave = enter if rules.leave is None else rules.leave
        reached: list[int] = np.flatnonzero(probabilities.max(axis=0, initial=0.0) >= enter).tolist()
        found = [
            (c, hysteresis(probabilities[:, c], enter, min(leave, enter))) for c in reached if c not in silent
        ]
    segments = [
        segment for c, active in found for segment in kept(head, c, active, probabilities[:, c], edges, rules)
    ]
    return sorted(segments, key=lambda s: (s.start_seconds, s.end_seconds, s.label))


def single_held(probabilities: NDArray[np.float32], head: Head, rules: Rules) -> NDArray[np.int64]:
    """Which class of a `single` head holds at each time, `(N,)`; -1 where none does."""
    enter = max(rules.enter or 0.0, head.threshold or 0.0)
    leave = enter if rules.leave is None else min(rules.leave, enter)
    best = probabilities.argmax(axis=1)
    held = np.full(len(best), -1, dtype=np.int64)
    now = -1
    for i, (first, values) in enumerate(zip(best.tolist(), probabilities, strict=True)):
        begins = values[first] >= enter
        # With one threshold only, the best class is the answer; with two, the one that holds is given time.
        if now >= 0 and (values[now] < leave or (rules.leave is None and first != now)):
            now = -1
        if begins and first != now and (now < 0 or values[first] > values[now]):
            now = first
        held[i] = now
    return held


def hysteresis(values: NDArray[np.float32], enter: float, leave: float) -> NDArray[np.bool_]:
    """Where a value has reached `enter` and not fallen below `leave` since: `(N,)` to the same."""
    # Each place takes the state of the last one that decides.
    decides = np.where(values >= enter, 1, np.where(values < leave, 0, -1))
    last = np.maximum.accumulate(np.where(decides >= 0, np.arange(len(values)), -1))
    return (last >= 0) & (decides[np.maximum(last, 0)] == 1)


def kept(
    head: Head,
    number: int,
    active: NDArray[np.bool_],
    values: NDArray[np.float32],
    edges: NDArray[np.float64],
    rules: Rules,
) -> list[Segment]:
    """Segments where a class is active: merged, and those that last long enough."""
    changes = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    runs: list[list[int]] = []
    for first, end in changes.reshape(-1, 2).tolist():
        for a, b in unbroken(first, end, edges):
            gap = edges[a, 0] - edges[runs[-1][1] - 1, 1] if runs else math.inf
            if gap <= rules.merge_seconds + TOGETHER_SECONDS:
                runs[-1][1] = b
            else:
                runs.append([a, b])
    return [
        Segment(
            head=head.name,
            label=head.classes[number],
            start_seconds=float(edges[a, 0]),
            end_seconds=float(edges[b - 1, 1]),
            probability=float(values[a:b].mean()),
            peak=float(values[a:b].max()),
        )
        for a, b in runs
        if edges[b - 1, 1] - edges[a, 0] >= rules.least_seconds - TOGETHER_SECONDS
    ]


def unbroken(first: int, end: int, edges: NDArray[np.float64]) -> Sequence[tuple[int, int]]:
    """Rows `first` to `end` in parts without a hole in time, such as a shot too short to be looked at."""
    holes = (
        np.flatnonzero(edges[first + 1 : end, 0] - edges[first : end - 1, 1] > TOGETHER_SECONDS) + first + 1
    )
    borders = [first, *holes.tolist(), end]
    return list(pairwise(borders))
