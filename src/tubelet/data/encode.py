"""A clip as a small H.264 file: trimmed exactly, made smaller, its frames at their own times."""

import math
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from tubelet.errors import DecodeError
from tubelet.video.decode import Video

TICKS = 90_000
"""Of a second: the exactness of the frames' times."""
KEY_EVERY = 12
"""Frames between those at which decoding may begin: a random part of a file then costs little more than itself."""
AT_A_TIME = 16
"""Frames in memory."""


def encode(video: Video, short_side: int | None, crf: int) -> bytes:
    """All frames of a video as an MP4 file without sound.

    Args:
        video: the clip.
        short_side: pixels that the shorter side is made smaller to; never larger. None: as it is.
        crf: quality of H.264, 0 (lossless) to 51; 17 can hardly be told from the original.

    Raises:
        DecodeError: if a frame cannot be decoded.
    """
    height, width = scaled(video.height, video.width, short_side)
    ticks = np.round(video.timestamps * TICKS).astype(np.int64)
    steps = np.diff(ticks, append=round(video.duration_seconds * TICKS))
    if len(steps) > 1 and steps.min() <= 0:
        raise DecodeError(f"{video.name}: two frames appear at the same time; this cannot be written.")
    file = BytesIO()
    with av.open(file, "w", format="mp4", options={"video_track_timescale": str(TICKS)}) as container:
        rate = Fraction(video.frame_rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate if rate > 0 else Fraction(25))
        stream.width, stream.height = width, height
        even = height % 2 == 0 and width % 2 == 0
        stream.pix_fmt = "yuv420p" if even else "yuv444p"  # colours at half the size need even sides
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "g": str(KEY_EVERY)}
        for first in range(0, len(video), AT_A_TIME):
            numbers = range(first, min(first + AT_A_TIME, len(video)))
            pixels = video.frames(numbers).permute(0, 2, 3, 1).numpy()
            for number, picture in zip(numbers, pixels, strict=True):
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                    width, height, stream.pix_fmt, interpolation=Interpolation.AREA
                )
                frame.pts, frame.time_base = int(ticks[number]), Fraction(1, TICKS)
                frame.duration = int(steps[number])
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def scaled(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Height and width with the shorter side at most `short_side`; what is made smaller gets even sides."""
    if short_side is None or min(height, width) <= short_side:
        return height, width
    factor = short_side / min(height, width)
    smaller = [max(2, 2 * math.floor(side * factor / 2 + 0.5)) for side in (height, width)]
    return smaller[0], smaller[1]
