"""An explanation as pictures: an overlay for each frame, as a video, and a sheet of all moments."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from tubelet.drawing import BAR, FAINT, GAP, INK, LINE, PAPER, fit, font
from tubelet.explanation.explain import Explanation
from tubelet.video.write import film

SHORT_SIDE = 224
"""Pixels of the shorter side of what is drawn: small clips are enlarged."""
COLUMN = 128
"""Pixels of the width of a moment in the sheet."""
BARS = 72
"""Pixels of the height of the bars of the moments."""
AGAINST = "#b8bdc3"
HOT = np.array([[0, 0, 0], [120, 0, 80], [230, 50, 20], [255, 170, 0], [255, 250, 170]], dtype=np.float32)
"""Colours from no heat to the most, at even steps."""


def overlay(explanation: Explanation) -> NDArray[np.uint8]:
    """The clip's frames with the map over them: `(F, H, W, 3)`, at least 224 pixels on the shorter side.

    Where the model did not look, the picture is dark and grey.
    """
    frames, heat = explanation.frames.float(), explanation.heat()[:, None]
    factor = max(1.0, SHORT_SIDE / min(frames.shape[-2:]))
    size = [round(side * factor) for side in frames.shape[-2:]]
    pictures = upright(F.interpolate(frames, size, mode="bilinear"))
    strength = upright(F.interpolate(heat, size, mode="bilinear")).clip(0, 1)
    grey = pictures.mean(axis=3, keepdims=True)
    place = strength[..., 0] * (len(HOT) - 1)
    low = np.minimum(place.astype(np.int64), len(HOT) - 2)
    share = (place - low)[..., None]
    colour = HOT[low] * (1 - share) + HOT[low + 1] * share
    seen = (0.45 + 0.55 * strength) * (grey + (pictures - grey) * strength)
    return np.clip(seen * (1 - 0.5 * strength) + colour * 0.5 * strength, 0, 255).round().astype(np.uint8)


def upright(pixels: Tensor) -> NDArray[np.float32]:
    """`(F, C, H, W)` to `(F, H, W, C)`."""
    return pixels.permute(0, 2, 3, 1).numpy()


def write_film(explanation: Explanation, file: Path, frames_per_second: float = 8.0) -> Path:
    """The clip and the overlay side by side, as an MP4 file.

    Args:
        explanation: what to show.
        file: where to.
        frames_per_second: how fast; a clip's frames are often far apart, so this is not the video's own rate.

    Raises:
        FileExistsError: if the file is there.
    """
    seen = overlay(explanation)
    size = seen.shape[1:3]
    plain = upright(F.interpolate(explanation.frames.float(), size, mode="bilinear")).round().astype(np.uint8)
    plain = np.broadcast_to(plain, seen.shape)  # a clip of brightness alone has one channel
    with film(file, size[0], 2 * size[1], frames_per_second) as out:
        for left, right in zip(plain, seen, strict=True):
            out.add(np.concatenate((left, right), axis=1))
    return file


def draw_sheet(explanation: Explanation, file: Path) -> Path:
    """A column for each tubelet in time, as a PNG: its first frame, the overlay, and how much the moment counts.

    Raises:
        FileExistsError: if the file is there.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists and is not overwritten: name another file.")
    seen = overlay(explanation)
    starts = [int(part[0]) for part in np.array_split(np.arange(len(seen)), len(explanation.map))]
    height = round(COLUMN * seen.shape[1] / seen.shape[2])
    top = GAP + 2 * LINE
    low = top + 2 * (height + 4)
    columns = len(starts) * (COLUMN + 4)
    width = max(columns, 460) + 2 * GAP
    sheet = Image.new("RGB", (width, low + BARS + 2 * LINE + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    told = f"{explanation.label}  {explanation.probability:.1%}   ({explanation.head}, {explanation.method})"
    draw.text((GAP, GAP), fit(f"{Path(explanation.video).name}   {told}", width - 2 * GAP, 15), INK, font(15))
    largest = max(float(explanation.moments.abs().max()), 1e-9)
    zero = low + BARS * 3 // 4
    draw.line((GAP, zero, GAP + columns, zero), FAINT)
    for number, start in enumerate(starts):
        x = GAP + number * (COLUMN + 4)
        frame = explanation.frames[start].permute(1, 2, 0).numpy()
        plain = np.broadcast_to(frame, (*frame.shape[:2], 3))
        for picture, y in ((plain, top), (seen[start], top + height + 4)):
            shown = Image.fromarray(np.ascontiguousarray(picture)).resize(
                (COLUMN, height), Image.Resampling.BILINEAR
            )
            sheet.paste(shown, (x, y))
        value = float(explanation.moments[number]) / largest
        end = zero - round(value * BARS * (0.75 if value > 0 else 0.25))
        draw.rectangle(
            (x + 20, min(zero, end), x + COLUMN - 20, max(zero, end)), BAR if value > 0 else AGAINST
        )
        draw.text((x, low + BARS + 2), f"{explanation.seconds[start]:.2f} s", FAINT, font(12))
    note = "Bars: what the log-odds lose without the moment"
    draw.text((GAP, low + BARS + LINE), f"{note} (longest {largest:.2f})", FAINT, font(12))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file, format="PNG")
    return file
