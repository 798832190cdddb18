"""The video again, with what the model says written into it."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tubelet.drawing import font
from tubelet.streaming.sources import FrameSource, Pace, origin_of
from tubelet.timelines.rules import Segment
from tubelet.timelines.timeline import Timeline
from tubelet.timelines.write import refuse_existing

TICKS = 90_000
"""Of a second: the exactness of the frames' times."""
SHORT_SIDE = 480
"""Pixels that larger videos are made smaller to."""


def write_overlay(timeline: Timeline, video: FrameSource, file: Path, overwrite: bool = False) -> Path:
    """Write the video with the labels that hold at each moment into an MP4 file (H.264, without sound).

    Frames keep their times, and larger pictures are made smaller to a shorter side of 480 pixels. The video is
    decoded once more, up to where the timeline ends.

    Args:
        timeline: of this video.
        video: what `timeline` was made of; frames of one's own must be there a second time.
        file: where to. Where writing fails, no file is left.
        overwrite: whether a file that is there is replaced.

    Raises:
        FileExistsError: if the file is there and is not to be replaced.
        DecodeError: if the video cannot be read again.
    """
    refuse_existing(file, overwrite)
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f"{file.name}.part")
    texts = Texts(timeline)
    try:
        with av.open(
            str(scratch),
            "w",
            format="mp4",
            options={"movflags": "+faststart", "video_track_timescale": str(TICKS)},
        ) as container:
            stream = container.add_stream("libx264", rate=25)
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
            stream.options = {"crf": "23", "preset": "veryfast"}
            last = -1
            for seconds, picture in pictures(timeline, video):
                frame = labelled(picture, texts.at(seconds))
                if last < 0:
                    stream.height, stream.width = frame.height, frame.width
                last = max(round(seconds * TICKS), last + 1)
                frame.pts, frame.time_base = last, Fraction(1, TICKS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
    return file


def pictures(timeline: Timeline, video: FrameSource) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Frames `(H, W, 3)` with their seconds, made smaller if need be, all of the first one's size."""
    size: tuple[int, int] | None = None
    for frame in origin_of(video).open(Pace(keep_up=False)):
        if frame.seconds > timeline.duration_seconds:
            return
        pixels = frame.pixels().permute(1, 2, 0).contiguous().numpy()
        if size is None:
            factor = min(SHORT_SIDE / min(pixels.shape[:2]), 1.0)
            height, width = (max(round(side * factor / 2) * 2, 2) for side in pixels.shape[:2])
            size = (width, height)
        whole = VideoFrame.from_ndarray(pixels, format="rgb24")
        if (whole.width, whole.height) != size:
            whole = whole.reformat(*size, "rgb24", interpolation=Interpolation.AREA)
        yield frame.seconds, np.asarray(whole.to_ndarray(), dtype=np.uint8)


def labelled(picture: NDArray[np.uint8], text: str) -> VideoFrame:
    """A frame with a text at its lower left, on a darkened ground."""
    if text:
        label = drawn(text, max(picture.shape[0] // 24, 10))
        ground = picture[-label.shape[0] :, : label.shape[1]]
        label = label[: ground.shape[0], : ground.shape[1], None]
        ground[:] = np.maximum(ground // 3, label)
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


class Texts:
    """What holds at a time, for times that grow."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.waiting = sorted(timeline.segments(), key=lambda s: s.start_seconds)[::-1]
        self.held: list[Segment] = []

    def at(self, seconds: float) -> str:
        """A line for each head with what holds, or what the model does not know."""
        while self.waiting and self.waiting[-1].start_seconds <= seconds:
            self.held.append(self.waiting.pop())
        self.held = [s for s in self.held if s.end_seconds > seconds]
        lines: list[str] = []
        heads = self.timeline.labels.heads
        for head in heads:
            labels = [f"{s.label} {s.probability:.0%}" for s in self.held if s.head == head.name]
            if not labels and head.threshold is not None:
                labels = ["unknown"]
            if labels:
                lines.append((f"{head.name}: " if len(heads) > 1 else "") + ", ".join(labels))
        return "\n".join(lines)


@lru_cache(maxsize=1)
def drawn(text: str, size: int) -> NDArray[np.uint8]:
    """A text as brightness `(h, w)`; that of the frame before is at hand."""
    face = font(size)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=face)
    image = Image.new("L", (round(box[2]) + size, round(box[3]) + size))
    ImageDraw.Draw(image).multiline_text((size // 2, size // 2), text, 255, font=face)
    return np.asarray(image)
