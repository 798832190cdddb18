"""Is it worth to look more often? Accuracy against the number of views, and what they cost."""

import csv
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rich.table import Table

from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.metrics import HeadMetrics
from tubelet.evaluation.multi_label import MultiMetrics
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
    return sorted(reports, key=lambda one: (one.macs_per_video, count_views(one.views)))


def points(one: Report) -> list[tuple[str, str, float, Interval | None]]:
    """Name, metric, value and interval: of each head that has an accuracy, and of all together."""
    found: list[tuple[str, str, float, Interval | None]] = []
    for head in one.heads:
        if isinstance(head, HeadMetrics) and head.videos:
            found.append((head.name, "top1", head.top1, head.intervals.get("top1")))
        elif isinstance(head, MultiMetrics) and head.videos:
            metric = "mean_average_precision"
            found.append((head.name, metric, head.mean_average_precision, head.intervals.get(metric)))
    if one.joint is not None:
        found.append(("+".join(one.joint.heads), "top1", one.joint.top1, one.joint.intervals.get("top1")))
    return found


def compared(reports: Sequence[Report]) -> Table:
    """A row for each report: views, cost of a video, accuracy of each head and of all together."""
    first = reports[0]
    names = [f"{'top-1' if metric == 'top1' else 'mAP'}, {name}" for name, metric, *_ in points(first)]
    table = table_of("views", "GMACs", "seconds", *names)
    table.title = f"{first.split}: accuracy against cost"
    for one in by_cost(reports):
        cost = (f"{one.macs_per_video / 1e9:,.4g}", f"{one.seconds_per_video:.3g}")
        table.add_row(one.views, *cost, *(share(value, interval) for _, _, value, interval in points(one)))
    return table


def write_comparison(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write `views.csv`, and the picture `views.png` where there is an accuracy, over what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    table, picture = folder / "views.csv", folder / "views.png"
    with table.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        cost = ("views", "views_per_video", "macs_per_video", "seconds_per_video")
        writer.writerow([*cost, "head", "metric", "value", "low", "high"])
        for one in by_cost(reports):
            cost = (one.views, count_views(one.views), one.macs_per_video, f"{one.seconds_per_video:.6g}")
            for name, metric, value, interval in points(one) or [("", "", "", None)]:
                ends = ("", "") if interval is None else (interval.low, interval.high)
                writer.writerow([*cost, name, metric, value, *ends])
    if not points(reports[0]):
        return [table]
    draw(reports).save(picture, format="PNG")
    return [table, picture]


def draw(reports: Sequence[Report]) -> Image.Image:
    """Accuracy against the number of views, as in the paper's figure on views, with 95 % intervals as bars."""
    ordered = by_cost(reports)
    font, bold = (ImageFont.load_default(size * SCALE) for size in (13, 16))
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = ImageDraw.Draw(image)
    found = [point for one in ordered for point in points(one)]
    values = [v for _, _, value, i in found for v in ((value,) if i is None else (value, i.low, i.high))]
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
        marks = [(column(number) + shift, *points(one)[which][2:]) for number, one in enumerate(ordered)]
        pen.line([(x, line(value)) for x, value, _ in marks], fill=colour, width=2 * SCALE)
        for x, value, interval in marks:
            if interval is not None:
                pen.line((x, line(interval.low), x, line(interval.high)), fill=colour, width=SCALE)
            pen.circle((x, line(value)), 4 * SCALE, fill=colour)
        place = ((LEFT + 10 + which % 4 * 190) * SCALE, (34 + which // 4 * 16) * SCALE)
        pen.text(place, name, fill=colour, font=font, anchor="lt")
    title = f"Accuracy against the cost of a video: {ordered[0].split}, {ordered[0].videos} videos"
    pen.text((LEFT * SCALE, 10 * SCALE), title, fill=INK, font=bold, anchor="lt")
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
