"""A timeline as a picture: a strip for each class, the darker the more probable, with a bar where it holds."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tubelet.drawing import fit, font
from tubelet.timelines.chart import Chart, Row, charts_of, clock, time_marks
from tubelet.timelines.timeline import Timeline

WIDTH, LEFT, RIGHT, TOP = 1200, 190, 24, 44
STRIP, GAP, TITLE, AXIS = 18, 5, 26, 30
"""Pixels: of a class, between classes, above a head, below the last one."""
INK, FAINT, PAPER = (28, 30, 33), (107, 112, 117), (255, 255, 255)
BLUE, ORANGE, NOTHING = (31, 100, 180), (226, 114, 20), (240, 240, 240)


def draw_timeline(timeline: Timeline) -> bytes:
    """The picture as a PNG."""
    charts = charts_of(timeline, WIDTH - LEFT - RIGHT)
    height = TOP + AXIS + sum(TITLE + len(c.rows) * (STRIP + GAP) for c in charts)
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(image)
    name = Path(timeline.video).name + ("" if timeline.complete else " (not to its end)")
    draw.text((12, 12), fit(name, WIDTH - 24, 16), INK, font(16))
    y = TOP
    for chart in charts:
        y = draw_chart(image, chart, y, timeline.duration_seconds)
    for seconds in time_marks(timeline.duration_seconds):
        x = column_of(seconds, timeline.duration_seconds)
        draw.line((x, y, x, y + 5), FAINT)
        draw.text((x, y + 8), clock(seconds), FAINT, font(12), anchor="mt")
    for cut in timeline.cuts:
        x = column_of(cut, timeline.duration_seconds)
        draw.line((x, TOP, x, y), FAINT)
    out = BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def draw_chart(image: Image.Image, chart: Chart, y: int, duration_seconds: float) -> int:
    """A head from this row of pixels on; returns the row below it."""
    draw = ImageDraw.Draw(image)
    more = f"{chart.left_out} other classes are not shown" if chart.left_out else ""
    title = ", ".join(part for part in (chart.head.name, chart.note, more) if part)
    draw.text((12, y + 6), fit(title, WIDTH - 24, 14), INK, font(14))
    y += TITLE
    for row in chart.rows:
        draw.text((LEFT - 8, y + STRIP // 2), fit(row.label, LEFT - 24, 13), INK, font(13), anchor="rm")
        image.paste(strip_of(row), (LEFT, y))
        for segment in row.segments:
            ends = [column_of(t, duration_seconds) for t in (segment.start_seconds, segment.end_seconds)]
            draw.rectangle((ends[0], y + STRIP - 4, max(ends[1] - 1, ends[0]), y + STRIP - 1), ORANGE)
        y += STRIP + GAP
    return y


def strip_of(row: Row) -> Image.Image:
    """The probabilities of a class as shades."""
    share = np.nan_to_num(row.heights)[:, None]
    shades = np.array(PAPER) + share * (np.array(BLUE) - np.array(PAPER))
    shades[np.isnan(row.heights)] = NOTHING
    pixels = np.repeat(shades[None].round().astype(np.uint8), STRIP, axis=0)
    pixels[[0, -1]] = np.minimum(pixels[[0, -1]], 225)
    return Image.fromarray(pixels)


def column_of(seconds: float, duration_seconds: float) -> int:
    """Pixels from the left of the picture."""
    return LEFT + round(seconds / max(duration_seconds, 1e-9) * (WIDTH - LEFT - RIGHT))
