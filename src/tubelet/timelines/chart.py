"""What a picture of a timeline shows: for each head some classes, their probabilities over time, their segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tubelet.labels import Head
from tubelet.timelines.rules import Segment
from tubelet.timelines.timeline import Timeline

MOST_ROWS = 8
"""Classes of a head that are shown: those with segments, and the most probable others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A class."""

    label: str
    heights: NDArray[np.float32]
    """(columns,) the largest probability in each column of time, 0 to 1; NaN where there is no answer."""
    segments: Sequence[Segment]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """A head."""

    head: Head
    rows: Sequence[Row]
    left_out: int
    """Classes that are not shown."""
    note: str
    """What heights mean, where they are no probabilities."""


def charts_of(timeline: Timeline, columns: int) -> list[Chart]:
    """A chart for each head, time in so many columns."""
    return [chart_of(timeline, head, columns) for head in timeline.labels.heads]


def chart_of(timeline: Timeline, head: Head, columns: int) -> Chart:
    """The chart of a head. Numbers are drawn between their least and their largest."""
    values, note = timeline.probabilities(head.name), ""
    if head.kind == "number" and len(values):
        low, high = float(values.min()), float(values.max())
        note = f"from {low:.3g} to {high:.3g}"
        values = (values - low) / max(high - low, 1e-9)
    segments = timeline.segments(head.name)
    seconds = {
        c: sum(s.end_seconds - s.start_seconds for s in segments if s.label == c) for c in head.classes
    }
    peaks = values.max(axis=0, initial=0.0).tolist()
    order = sorted(range(len(peaks)), key=lambda c: (-seconds[head.classes[c]], -peaks[c]))
    shown = sorted(order[:MOST_ROWS])
    heights = largest_in_columns(values[:, shown], timeline.edges, timeline.duration_seconds, columns)
    rows = [
        Row(
            label=head.classes[c],
            heights=heights[:, place],
            segments=[s for s in segments if s.label == head.classes[c]],
        )
        for place, c in enumerate(shown)
    ]
    return Chart(head=head, rows=rows, left_out=len(peaks) - len(shown), note=note)


def largest_in_columns(
    values: NDArray[np.float32], edges: NDArray[np.float64], duration_seconds: float, columns: int
) -> NDArray[np.float32]:
    """Values over time `(N, K)` as `(columns, K)`: the largest that touches each column; NaN where none does."""
    times = np.linspace(0, max(duration_seconds, 1e-9), columns + 1)
    first = np.searchsorted(edges[:, 1], times[:-1], side="right")
    last = np.searchsorted(edges[:, 0], times[1:], side="left")
    out = np.full((columns, values.shape[1]), np.nan, dtype=np.float32)
    for column, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if b > a:
            out[column] = values[a:b].max(axis=0)
    return out


def time_marks(duration_seconds: float, most: int = 10) -> list[float]:
    """Round times for an axis: at most so many."""
    steps = (
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1800,
        3600,
        7200,
        14400,
        43200,
        86400,
    )
    step = next((s for s in steps if duration_seconds / s <= most), steps[-1])
    return [round(n * step, 3) for n in range(int(duration_seconds / step + 1e-9) + 1)]


def clock(seconds: float) -> str:
    """A time to read: 7.5 s as 0:07.5, hours only where there are any."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"
