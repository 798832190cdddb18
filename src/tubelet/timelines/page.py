"""A timeline as one HTML page that needs no network, no script and no other file."""

import math
from pathlib import Path

import numpy as np

from tubelet.pages import page_template
from tubelet.timelines.chart import Row, charts_of, clock, time_marks
from tubelet.timelines.timeline import Timeline

COLUMNS = 1000
"""Of time, in a diagram."""
ROW = 40
"""Height of a class in a diagram."""
MOST_SEGMENTS = 2000
"""In the table below; a page is to be read."""


def as_page(timeline: Timeline) -> str:
    """The page."""
    segments = timeline.segments()

    def x(seconds: float) -> str:
        return f"{COLUMNS * seconds / max(timeline.duration_seconds, 1e-9):.1f}"

    return page_template("timelines/page.html.jinja").render(
        timeline=timeline,
        name=Path(timeline.video).name,
        charts=charts_of(timeline, COLUMNS),
        segments=segments[:MOST_SEGMENTS],
        more=max(len(segments) - MOST_SEGMENTS, 0),
        marks=time_marks(timeline.duration_seconds),
        columns=COLUMNS,
        row=ROW,
        x=x,
        area=area,
        clock=clock,
    )


def area(row: Row) -> str:
    """The probabilities of a class as the path of a filled curve; open where there is no answer."""
    parts: list[str] = []
    before = math.nan
    for column, value in enumerate(np.append(row.heights, np.nan).tolist()):
        if math.isnan(value):
            parts.append("" if math.isnan(before) else f"H{column}V{ROW}Z")
        elif value != before:
            y = ROW - (ROW - 2) * min(max(value, 0.0), 1.0)
            parts.append(f"M{column} {ROW}V{y:.1f}" if math.isnan(before) else f"H{column}V{y:.1f}")
        before = value
    return "".join(parts)
