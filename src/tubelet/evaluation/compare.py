"""Is it worth to look more often? Accuracy against the number of views, and what they cost."""

import csv
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rich.table import Table

from tubelet.evaluation.metrics import HeadMetrics
from tubelet.evaluation.report import Report, share, table_of

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 480, 80, 40, 60, 90
"""Pixels of the picture, and around its axes."""
SCALE = 2
"""It is drawn this much larger, and then made smaller: smooth lines."""
INK, FAINT, GRID, PAPER = (40, 40, 40), (120, 120, 120), (225, 225, 225), (255, 255, 255)
COLOURS = ((31, 100, 180), (226, 114, 20), (34, 139, 76), (150, 60, 150), (120, 90, 60), (200, 40, 60))


def count_views(views: str) -> int:
    """Views of a video, "4x3" to 12."""
    clips, crops = views.split("x")
    return int(clips) * int(crops)


def by_cost(reports: Sequence[Report]) -> list[Report]:
    """The cheapest first."""
    return sorted(reports, key=lambda one: count_views(one.views))


def singles(one: Report) -> list[HeadMetrics]:
    """The heads that have an accuracy."""
    return [head for head in one.heads if isinstance(head, HeadMetrics) and head.videos]


def compared(reports: Sequence[Report]) -> Table:
    """A row for each report: views, cost of a video, top-1 of each head and of all together."""
    first = reports[0]
    names = [head.name for head in singles(first)]
    joint = [] if first.joint is None else ["+".join(first.joint.heads)]
    table = table_of("views", "GMACs", "seconds", *(f"top-1, {name}" for name in [*names, *joint]))
    table.title = f"{first.split}, {first.videos} videos: accuracy against cost, for each video"
    for one in by_cost(reports):
        found = [(head.top1, head.intervals.get("top1")) for head in singles(one)]
        if one.joint is not None:
            found.append((one.joint.top1, one.joint.intervals.get("top1")))
        cost = (f"{one.macs_per_video / 1e9:,.4g}", f"{one.seconds_per_video:.3g}")
        table.add_row(one.views, *cost, *(share(*pair) for pair in found))
    return table


def write_comparison(reports: Sequence[Report], folder: Path) -> tuple[Path, Path]:
    """Write `views.csv` and the picture `views.png` into a folder, over what is there; returns both files."""
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / "views.csv", folder / "views.png"
    with table.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(
            ["views", "views_per_video", "macs_per_video", "seconds_per_video", "head", "top1", "low", "high"]
        )
        for one in by_cost(reports):
            cost = (one.views, count_views(one.views), one.macs_per_video, f"{one.seconds_per_video:.6g}")
            for name, top1, low, high in points(one):
                writer.writerow([*cost, name, top1, "" if low is None else low, "" if high is None else high])
    draw(reports).save(picture, format="PNG")
    return table, picture


def points(one: Report) -> list[tuple[str, float, float | None, float | None]]:
    """Name, top-1 and its interval, for each head and for all together."""
    found = [(head.name, head.top1, head.intervals.get("top1")) for head in singles(one)]
    if one.joint is not None:
        found.append(("+".join(one.joint.heads), one.joint.top1, one.joint.intervals.get("top1")))
    return [(name, top1, i.low if i else None, i.high if i else None) for name, top1, i in found]


def draw(reports: Sequence[Report]) -> Image.Image:
    """Top-1 against the number of views, as in the paper's figure on views, with 95 % intervals as bars."""
    ordered = by_cost(reports)
    font, bold = (ImageFont.load_default(size * SCALE) for size in (13, 16))
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = ImageDraw.Draw(image)
    values = [v for one in ordered for _, *ends in points(one) for v in ends if v is not None]
    low, high = max(min(values) - 0.02, 0.0), min(max(values) + 0.02, 1.0)

    def column(number: int) -> float:
        return (LEFT + (number + 0.5) * (WIDTH - LEFT - RIGHT) / len(ordered)) * SCALE

    def line(value: float) -> float:
        return (HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)) * SCALE

    for step in range(6):
        value = low + step * (high - low) / 5
        pen.line((LEFT * SCALE, line(value), (WIDTH - RIGHT) * SCALE, line(value)), fill=GRID, width=SCALE)
        pen.text(((LEFT - 8) * SCALE, line(value)), f"{value:.1%}", fill=INK, font=font, anchor="rm")
    for number, one in enumerate(ordered):
        many = count_views(one.views)
        texts = (
            f"{one.views}: {many} view{'s' * (many > 1)}",
            f"{one.macs_per_video / 1e9:,.4g} GMACs",
            f"{one.seconds_per_video:.3g} s",
        )
        for row, text in enumerate(texts):
            place = (column(number), (HEIGHT - BOTTOM + 12 + 20 * row) * SCALE)
            pen.text(place, text, fill=FAINT if row else INK, font=font, anchor="mt")
    names = [name for name, *_ in points(ordered[0])]
    for which, name in enumerate(names):
        colour = COLOURS[which % len(COLOURS)]
        shift = (which - (len(names) - 1) / 2) * 8 * SCALE  # the bars of two heads stand side by side
        found = [(column(number) + shift, points(one)[which]) for number, one in enumerate(ordered)]
        pen.line([(x, line(top1)) for x, (_, top1, *_) in found], fill=colour, width=2 * SCALE)
        for x, (_, top1, least, most) in found:
            if least is not None and most is not None:
                pen.line((x, line(least), x, line(most)), fill=colour, width=SCALE)
            pen.circle((x, line(top1)), 4 * SCALE, fill=colour)
        place = ((LEFT + 10 + which % 4 * 190) * SCALE, (34 + which // 4 * 16) * SCALE)
        pen.text(place, name, fill=colour, font=font, anchor="lt")
    title = f"Top-1 against the cost of a video: {ordered[0].split}, {ordered[0].videos} videos"
    pen.text((LEFT * SCALE, 10 * SCALE), title, fill=INK, font=bold, anchor="lt")
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
