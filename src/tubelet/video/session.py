"""One open video file with one decoder: frames from the start, or from a key packet after a checked seek."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError
from av.video.frame import VideoFrame

from tubelet.video.packets import NO_TICKS, Packets, open_video, reason

# How many packets may come between the place a seek reached and the key packet sought.
_PACKETS_BEFORE_KEY = 32


class Astray(Exception):  # noqa: N818 - a turn of events, never shown to users
    """Internal: after a seek the file did not give the packets or frames that its own list announces."""


@dataclass(frozen=True)
class Wanted:
    """Frames that are asked for."""

    ticks: frozenset[int]
    last: int
    """Of `ticks`. Nothing after it is left out: it may be what is asked for next, and the decoder is ahead."""


class Session:
    """One open file with one decoder: the frames from the start, or from a key packet after `seek`."""

    def __init__(self, source: Path | bytes, threads: int = 1, packets: Packets | None = None):
        self.container, self.stream = open_video(source)
        if threads > 1:
            self.stream.thread_type = "AUTO"  # pyright: ignore[reportAttributeAccessIssue]
        self.stream.codec_context.thread_count = threads
        self.table = packets
        self.landmarks: dict[tuple[int, int], int] | None = None
        self.ordinal = 0
        self.sought = False
        self.wanted: Wanted | None = None
        """Set, frames before the last wanted one may be missing, which are not wanted and no other frame needs."""
        self._passing_over = False
        self._demux = self.container.demux(self.stream)
        self._ready: deque[VideoFrame] = deque()

    def next_frame(self) -> VideoFrame | None:
        """The next frame in presentation order; None at the end. Raises FFmpegError, and Astray after a seek."""
        while not self._ready:
            packet = next(self._demux, None)
            if packet is None:
                return None
            if packet.size:
                ordinal, self.ordinal = self.ordinal, self.ordinal + 1
                if self.table is not None and self._skip(packet.pts, packet.size, ordinal):
                    continue
            self._pass_over(packet.pts)
            self._ready.extend(packet.decode())
        return self._ready.popleft()

    def _pass_over(self, pts: int | None) -> None:
        """Tell the decoder whether it may leave out the frame of the next packet, if no other frame needs it."""
        needed = self.wanted is None or pts is None or pts >= self.wanted.last or pts in self.wanted.ticks
        if needed == self._passing_over:
            self._passing_over = not needed
            self.stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"

    def _skip(self, pts: int | None, size: int, ordinal: int) -> bool:
        table = self.table
        assert table is not None
        if not self.sought:
            return ordinal < table.first_key
        ticks = NO_TICKS if pts is None else pts
        if ordinal >= len(table.ticks) or table.ticks[ordinal] != ticks or table.bytes_[ordinal] != size:
            raise Astray
        return False

    def seek(self, ordinal: int) -> bool:
        """Continue from this key packet or one before it; False if the file would not go there."""
        table = self.table
        assert table is not None
        if self.landmarks is None:
            self.landmarks = table.landmarks()
        self.sought = True
        self._ready.clear()
        # Some containers seek by presentation time, some by decoding time.
        for offset in dict.fromkeys((int(table.ticks[ordinal]), int(table.decode_ticks[ordinal]))):
            self.container.seek(offset, stream=self.stream, backward=True)
            self._demux = self.container.demux(self.stream)
            # Streams of a broadcast kind may give some packets, or parts of them, before the key packet.
            for _ in range(_PACKETS_BEFORE_KEY):
                packet = next(self._demux, None)
                if packet is None or packet.pts is None or not packet.size:
                    break
                landed = self.landmarks.get((packet.pts, packet.size))
                if landed is None:
                    continue
                if landed > ordinal:
                    break
                self._ready.extend(packet.decode())
                self.ordinal = landed + 1
                return True
        return False

    def close(self) -> None:
        """Let the file go."""
        self._ready.clear()
        self.container.close()


def count_frames(
    source: Path | bytes, packets: Packets
) -> tuple[list[int | None], VideoFrame | None, str | None]:
    """Decode the whole file: each frame's ticks, the first frame, and what stopped the decoder (None: its end)."""
    return _count(Session(source, packets=packets))


def _count(session: Session) -> tuple[list[int | None], VideoFrame | None, str | None]:
    ticks: list[int | None] = []
    first: VideoFrame | None = None
    try:
        for frame in _frames(session):
            if first is None:
                first = frame
            elif (frame.width, frame.height) != (first.width, first.height):
                return ticks, first, f"the picture changes its size to {frame.width}x{frame.height}"
            ticks.append(frame.pts)
    except (FFmpegError, OSError) as error:
        return ticks, first, f"decoding fails ({reason(error)})"
    finally:
        session.close()
    return ticks, first, None


def _frames(session: Session) -> Iterator[VideoFrame]:
    while (frame := session.next_frame()) is not None:
        yield frame
