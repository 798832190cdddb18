"""Pictures as a video file that every browser plays."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray


@dataclass(eq=False)
class Film:
    """An H.264 file in MP4 that is being written; see `film`."""

    container: OutputContainer
    stream: VideoStream
    size: tuple[int, int]

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next picture, `(H, W, 3)`, all of one size; an odd last row or column is left out."""
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        assert (height, width) == self.size, f"{picture.shape} in a film of {self.size}"
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
        self.container.mux(self.stream.encode(frame))


@contextmanager
def film(file: Path, height: int, width: int, frames_per_second: float) -> Generator[Film]:
    """Write pictures one by one into an MP4 file; where that fails, no file is left.

    Args:
        file: where to.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        frames_per_second: how fast they are shown.

    Raises:
        FileExistsError: if the file is there; it is not overwritten.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists and is not overwritten: name another file.")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(str(file), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(frames_per_second).limit_denominator(1001))
            stream.height, stream.width = height // 2 * 2, width // 2 * 2
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "18"}
            yield Film(container, stream, (stream.height, stream.width))
            container.mux(stream.encode(None))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
