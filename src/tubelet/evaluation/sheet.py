"""A contact sheet: frames of each video beside the answers and their probabilities, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from tubelet.drawing import BAR, FAINT, GAP, INK, LINE, PAPER, TRACK, fit, font
from tubelet.prediction import Prediction

THUMB_HEIGHT = 108
TEXT_WIDTH = 360


@dataclass(frozen=True)
class SheetRow:
    """A prediction, or a window of one, and the frames `(N, 3, H, W)` uint8 to show beside it."""

    prediction: Prediction
    frames: Tensor


def contact_sheet(rows: Sequence[SheetRow], path: Path, title: str = "", top: int = 3) -> Path:
    """Draw the sheet as a PNG.

    Each row shows its frames and, for each head, the `top` answers; with several heads only the best of each.

    Raises:
        ValueError: without rows.
        FileExistsError: if there is a file already, which is not overwritten.
    """
    if not rows:
        raise ValueError("A contact sheet needs at least one row.")
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten: name another file.")
    strips = [draw_row(row, top) for row in rows]
    width = max(strip.width for strip in strips) + 2 * GAP
    height = sum(strip.height + GAP for strip in strips) + GAP + (3 * LINE if title else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    y = GAP
    if title:
        ImageDraw.Draw(sheet).text((GAP, GAP), title, INK, font(18))
        y += 2 * LINE
    for strip in strips:
        sheet.paste(strip, (GAP, y))
        y += strip.height + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
    return path


def draw_row(row: SheetRow, top: int) -> Image.Image:
    """One row: name and time, answers with bars, and the frames side by side."""
    prediction = row.prediction
    heads = prediction.labels.heads
    answers = [
        (head.name if len(heads) > 1 else "", label, probability)
        for head in heads
        for label, probability in prediction.top(1 if len(heads) > 1 else top, head.name)
    ]
    thumbs = [thumbnail(frame) for frame in row.frames]
    width = TEXT_WIDTH + sum(thumb.width + 2 for thumb in thumbs)
    height = max(THUMB_HEIGHT, (1 + len(answers)) * LINE + 4)
    strip = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((0, 0), caption(prediction), INK, font(14))
    for i, (head, label, probability) in enumerate(answers, start=1):
        draw_answer(draw, i * LINE, head, label, probability)
    x = TEXT_WIDTH
    for thumb in thumbs:
        strip.paste(thumb, (x, 0))
        x += thumb.width + 2
    return strip


def draw_answer(draw: ImageDraw.ImageDraw, y: int, head: str, label: str, probability: float) -> None:
    """Head, label, a bar as long as the probability, and the number."""
    name = f"{head}: {label}" if head else label
    draw.text((0, y), fit(name, 190, 13), INK, font(13))
    left, right = 200, 300
    draw.rectangle((left, y + 5, right, y + 13), TRACK)
    draw.rectangle((left, y + 5, left + round((right - left) * probability), y + 13), BAR)
    draw.text((right + 8, y), f"{probability:.0%}", FAINT, font(13))


def caption(prediction: Prediction) -> str:
    """The file's name, and the time where the row is a window."""
    name = Path(prediction.video).name
    if prediction.end_seconds is None or prediction.windows:
        return fit(name, TEXT_WIDTH - 20, 14)
    times = f"  {prediction.start_seconds:.1f}-{prediction.end_seconds:.1f} s"
    return fit(name, TEXT_WIDTH - 20 - round(font(14).getlength(times)), 14) + times


def thumbnail(frame: Tensor) -> Image.Image:
    """A frame `(3, H, W)` as a picture of the row's height."""
    picture = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    width = max(1, round(picture.width * THUMB_HEIGHT / picture.height))
    return picture.resize((width, THUMB_HEIGHT), Image.Resampling.BILINEAR)
