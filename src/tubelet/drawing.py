"""What the pictures that Tubelet draws have in common: colours, distances, typeface."""

from PIL import ImageFont

GAP = 10
"""Pixels between things."""
LINE = 20
"""Pixels from one line of text to the next."""
INK, FAINT, PAPER, BAR, TRACK = "#1c1e21", "#6b7075", "#ffffff", "#3f7fd0", "#e8ebef"


def fit(text: str, width: int, size: int) -> str:
    """The text, cut in the middle if it is wider than that many pixels."""
    if font(size).getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 4 and font(size).getlength(text[: keep // 2] + "..." + text[-(keep // 2) :]) > width:
        keep -= 1
    return text[: keep // 2] + "..." + text[-(keep // 2) :]


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface."""
    return ImageFont.load_default(size)
