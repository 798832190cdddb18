"""The picture of a run: losses, validation accuracy and rate over its epochs, out of its log."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 900, 300
"""Pixels of a panel."""
LEFT, RIGHT, TOP, BOTTOM = 80, 30, 46, 44
"""Pixels around its axes."""
SCALE = 2
"""It is drawn this much larger, and then made smaller: smooth lines."""
INK, GRID = (40, 40, 40), (225, 225, 225)
BLUE, ORANGE, GREEN, GREY = (31, 100, 180), (226, 114, 20), (34, 139, 76), (130, 130, 130)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a panel."""

    name: str
    colour: tuple[int, int, int]
    points: list[tuple[float, float]]
    """(epoch, value), by epoch."""
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A diagram: curves over the epochs."""

    title: str
    curves: Sequence[Curve]
    marks: Sequence[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """Epochs at which a thin line stands, and what it says."""


def plot_log(log: Path, picture: Path) -> None:
    """Draw a run's log as a PNG."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    panels = panels_of(records)
    whole = Image.new("RGB", (WIDTH, HEIGHT * len(panels)), "white")
    for place, panel in enumerate(panels):
        whole.paste(draw_panel(panel), (0, HEIGHT * place))
    scratch = picture.with_suffix(".part")
    whole.save(scratch, format="png")
    scratch.replace(picture)


def panels_of(records: Sequence[dict[str, Any]]) -> list[Panel]:
    """Losses, validation accuracy, rate; the stages follow each other on one axis of epochs."""
    begun = [r for r in records if r["event"] == "stage"]
    offsets, after = dict[str, float](), 0.0
    for record in begun:
        offsets[record["stage"]] = after
        ended = [r["epoch"] for r in records if r["event"] == "epoch" and r["stage"] == record["stage"]]
        after += max(ended, default=0)
    epochs = [r for r in records if r["event"] == "epoch"]
    steps = [r for r in records if r["event"] == "step"]

    def curve(rows: Sequence[dict[str, Any]], value: str) -> list[tuple[float, float]]:
        return [(offsets.get(r["stage"], 0.0) + r["epoch"], float(r[value])) for r in rows]

    best = [r for r in epochs if r["best"]][-1:]
    marks = [(offsets[r["stage"]], f"{r['stage']} stage") for r in begun[1:]]
    found = [(curve(best, "val_top1")[0][0], "kept")] if best else []
    losses = [
        Curve(name="training", colour=BLUE, points=curve(epochs, "train_loss")),
        Curve(name="validation", colour=ORANGE, points=curve(epochs, "val_loss")),
    ]
    priors = [r["prior_entropy"] for r in records if r["event"] == "began"]
    if priors:
        line = [(0.0, float(priors[0])), (max(after, 1.0), float(priors[0]))]
        losses.append(Curve(name="class frequencies alone", colour=GREY, points=line, dashed=True))
    top1 = [Curve(name="validation", colour=GREEN, points=curve(epochs, "val_top1"))]
    rate = [Curve(name="", colour=BLUE, points=curve(steps or epochs, "lr"))]
    return [
        Panel(title="Loss (nats, without smoothing and class weights)", curves=losses, marks=marks + found),
        Panel(title="Top-1 accuracy, mean over the heads", curves=top1, marks=marks + found),
        Panel(title="Learning rate", curves=rate, marks=marks),
    ]


def draw_panel(panel: Panel) -> Image.Image:
    """One diagram, `WIDTH` by `HEIGHT` pixels."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    draw = ImageDraw.Draw(image)
    font, bold = (ImageFont.load_default(size * SCALE) for size in (12, 14))
    points = [p for c in panel.curves for p in c.points if math.isfinite(p[1])]
    across = ticks(0.0, max([x for x, _ in points], default=1.0))
    up = ticks(min([y for _, y in points], default=0.0), max([y for _, y in points], default=1.0))
    box = tuple(n * SCALE for n in (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM))

    def place(x: float, y: float) -> tuple[float, float]:
        """Values to pixels."""
        right = (x - across[0]) / (across[-1] - across[0])
        above = (y - up[0]) / (up[-1] - up[0])
        return box[0] + right * (box[2] - box[0]), box[3] - above * (box[3] - box[1])

    for x in across:
        column = place(x, up[0])[0]
        draw.line((column, box[1], column, box[3]), fill=GRID, width=SCALE)
        draw.text((column, box[3] + 6 * SCALE), f"{x:g}", fill=INK, font=font, anchor="mt")
    for y in up:
        row = place(across[0], y)[1]
        draw.line((box[0], row, box[2], row), fill=GRID, width=SCALE)
        draw.text((box[0] - 6 * SCALE, row), f"{y:g}", fill=INK, font=font, anchor="rm")
    for x, text in panel.marks:
        column = place(x, up[0])[0]
        draw.line((column, box[1], column, box[3]), fill=GREY, width=SCALE)
        draw.text((column, box[1] - 3 * SCALE), text, fill=GREY, font=font, anchor="mb")
    draw.text((box[0], 8 * SCALE), panel.title, fill=INK, font=bold, anchor="lt")
    draw.text((box[2], box[3] + 24 * SCALE), "epochs", fill=INK, font=font, anchor="rt")
    right = float(box[2])
    for curve in reversed(panel.curves):
        draw_curve(draw, curve, [place(x, y) for x, y in curve.points if math.isfinite(y)])
        if curve.name:
            right -= draw.textlength(curve.name, font=font)
            draw.text((right, 9 * SCALE), curve.name, fill=curve.colour, font=font, anchor="lt")
            right -= 16 * SCALE
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def draw_curve(draw: ImageDraw.ImageDraw, curve: Curve, pixels: Sequence[tuple[float, float]]) -> None:
    """A line through its points; few points are marked by dots."""
    if curve.dashed:
        for (x0, y0), (x1, y1) in pairwise(pixels):
            pieces = max(round(math.hypot(x1 - x0, y1 - y0) / (6 * SCALE)), 1)
            for n in range(0, pieces, 2):
                ends = [n / pieces, min(n + 1, pieces) / pieces]
                draw.line(
                    [(x0 + s * (x1 - x0), y0 + s * (y1 - y0)) for s in ends],
                    fill=curve.colour,
                    width=2 * SCALE,
                )
        return
    if len(pixels) > 1:
        draw.line(list(pixels), fill=curve.colour, width=2 * SCALE, joint="curve")
    if len(pixels) <= 40:
        for x, y in pixels:
            radius = 3 * SCALE
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=curve.colour)


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers, evenly spread, from one at or below `low` to one at or above `high`."""
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    digits = max(-math.floor(math.log10(step)), 0)
    return [round(n * step, digits) for n in range(first, last + 1)]
