"""What a video file holds, found without decoding it: its packets, its frames' times, its first picture's shape.

Legend: *ordinal* is a packet's place in the file (decoding order), *rank* a frame's place on the screen
(presentation order), *ticks* are times in units of the stream's time base.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tubelet.errors import DecodeError

# These containers write their length into a header, so a file that ends well before it has been cut.
_ANNOUNCE_LENGTH = ("matroska", "avi", "mov")


class Astray(Exception):  # noqa: N818
    """Internal: after a seek the file did not give the packets or frames that its own list announces."""


@dataclass(frozen=True)
class Packets:
    """The packets of one video stream in decoding order, all arrays (packets,)."""

    ticks: NDArray[np.int64]
    """Presentation time, or -1 << 62 where the file gives none."""
    decode_ticks: NDArray[np.int64]
    """Decoding time; the presentation time where the file gives none."""
    bytes_: NDArray[np.int64]
    """Size, which with the time tells packets apart after a seek."""
    key: NDArray[np.bool_]
    """Decoding may begin here."""
    shown: NDArray[np.bool_]
    """The packet gives a picture (not hidden by an edit list, not a VP8 reference that is never shown)."""
    last_ticks: int
    """Duration of the packet that is shown last; 0 where unknown."""
    corrupt: bool
    """FFmpeg marked a packet as damaged."""
    cause: str | None
    """Why the file is known to end too early, as a part of a sentence; None if it does not."""

    @property
    def first_key(self) -> int:
        """Ordinal of the packet where decoding begins; 0 if none is marked."""
        return int(np.argmax(self.key)) if len(self.key) else 0

    @property
    def countable(self) -> bool:
        """Whether counting packets is counting frames: times all known, all different, none before the first key."""
        if self.corrupt or self.cause or not len(self.ticks) or not self.key[0]:
            return False
        shown = self.ticks[self.shown]
        stamped = bool((shown > _NO_TICKS).all()) and len(np.unique(shown)) == len(shown)
        return stamped and (not self.shown[0] or bool(self.ticks[0] == shown.min()))

    def landmarks(self) -> dict[tuple[int, int], int]:
        """(ticks, bytes) -> ordinal of the packets where decoding may begin."""
        return {(int(self.ticks[o]), int(self.bytes_[o])): int(o) for o in np.flatnonzero(self.key)}


_NO_TICKS = -1 << 62


@dataclass(frozen=True)
class Index:
    """What is known of a file before any frame is asked for."""

    ticks: NDArray[np.int64]
    """(frames,) presentation times in ascending order."""
    stamped: bool
    """Whether each frame carries exactly its entry of `ticks`; if not, frames are told apart by counting."""
    time_base: Fraction
    """Seconds per tick."""
    nominal_rate: float | None
    """Frames per second that the file announces."""
    size: tuple[int, int]
    """Height and width of the pictures as stored, before `turn`."""
    turn: "Turn"
    packets: Packets
    starts: tuple[NDArray[np.int64], NDArray[np.int64]] = field(repr=False)
    """Ordinals and ticks of the packets from which a seek may begin; empty when the file cannot be trusted."""

    def start_for(self, rank: int) -> int:
        """Ordinal of the nearest packet from which the frame of this rank can be decoded."""
        ordinals, ticks = self.starts
        # A frame shown before its key packet (open group of pictures) leans on the group before it.
        usable = np.flatnonzero(ticks <= self.ticks[rank])
        return int(ordinals[usable[-1]]) if len(usable) else self.packets.first_key


@dataclass(frozen=True)
class Turn:
    """How a stored picture is turned for display: transposed, then flipped."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Turn":
        """Read the frame's display matrix, by its nearest quarter turn; mirrored pictures are honoured too."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        # x' = a x + c y, y' = b x + d y, with both axes as in the picture: x to the right, y down.
        a, b, _, c, d = np.frombuffer(bytes(matrix), dtype="<i4")[:5].tolist()
        if abs(b) > abs(a):
            return cls(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
        return cls(flip_rows=d < 0, flip_columns=a < 0)

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w, 3) as stored -> (H, W, 3) as shown; a view."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def shape(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width as stored -> height and width as shown."""
        return (size[1], size[0]) if self.transpose else size


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
            self._ready.extend(packet.decode())
        return self._ready.popleft()

    def _skip(self, pts: int | None, size: int, ordinal: int) -> bool:
        table = self.table
        assert table is not None
        if not self.sought:
            return ordinal < table.first_key
        if ordinal >= len(table.ticks) or table.ticks[ordinal] != pts or table.bytes_[ordinal] != size:
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


_PACKETS_BEFORE_KEY = 32


def open_video(source: Path | bytes) -> tuple[InputContainer, VideoStream]:
    """Open a file and its first moving stream. Raises DecodeError without the file's name, for the caller to add."""
    try:
        # The prefix keeps FFmpeg from reading a name such as `concat:a` as an instruction.
        file = BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
        container = av.open(file, mode="r", metadata_errors="replace")
    except Exception as error:  # whatever the bindings raise, the file is what cannot be read
        raise DecodeError(f"cannot be opened as a video ({reason(error)})") from error
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return container, stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none at all"
    container.close()
    raise DecodeError(f"has no video stream (its streams: {kinds})")


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, as a part of a sentence."""
    words = str(getattr(error, "strerror", None) or error or type(error).__name__).strip().rstrip(".")
    return words[:1].lower() + words[1:]


def list_packets(source: Path | bytes) -> tuple[Packets, Fraction, float | None]:
    """Read every packet of the video stream without decoding: packets, time base, announced frame rate."""
    container, stream = open_video(source)
    with container:
        hides = stream.codec_context.name in ("vp8", "libvpx")
        rows: list[tuple[int, int, int, bool, bool, int]] = []
        corrupt, cause = False, None
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                pts = _NO_TICKS if packet.pts is None else packet.pts
                dts = pts if packet.dts is None else packet.dts
                # Bit 4 of a VP8 frame's first byte says whether the frame is shown.
                shown = not packet.is_discard and not (hides and not memoryview(packet)[0] & 0x10)
                rows.append((pts, dts, packet.size, packet.is_keyframe, shown, packet.duration or 0))
                corrupt |= packet.is_corrupt
        except (FFmpegError, OSError) as error:
            cause = f"reading stops after {len(rows)} packets ({reason(error)})"
        columns = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(6)]
        ticks, decode_ticks, sizes, key, shown, durations = columns
        shown = shown.astype(np.bool_)
        last = int(np.argmax(np.where(shown, ticks, _NO_TICKS))) if len(rows) else 0
        time_base = Fraction(stream.time_base or Fraction(1, av.time_base))
        rate = stream.average_rate or stream.guessed_rate
        known = np.sort(ticks[shown & (ticks > _NO_TICKS)]).astype(np.float64)
        shown_seconds = np.multiply(known, float(time_base), dtype=np.float64)
        cause = cause or _cut(source, container, stream, len(rows), shown_seconds)
        last_ticks = int(durations[last]) if len(rows) else 0
        packets = Packets(
            ticks, decode_ticks, sizes, key.astype(np.bool_), shown, last_ticks, corrupt=corrupt, cause=cause
        )
        return packets, time_base, float(rate) if rate else None


def _cut(
    source: Path | bytes,
    container: InputContainer,
    stream: VideoStream,
    count: int,
    shown_seconds: NDArray[np.float64],
) -> str | None:
    """Why the file must have been cut short; None if nothing says so."""
    if not count or not any(kind in container.format.name for kind in _ANNOUNCE_LENGTH):
        return None
    listed = len(getattr(stream, "index_entries", ()))
    if "mov" in container.format.name and listed > count:
        return f"the file is cut short: it lists {listed} frames and holds {count}"
    if not container.duration or len(shown_seconds) < 2:
        return None
    # Matroska announces the end on its own clock, the others from the first packet: believe the later start.
    first = min((container.start_time or 0) / av.time_base, 0.0)
    announced = container.duration / av.time_base
    # The last frame may stay for long, so the widest gap between frames is let pass.
    bearable = announced - max(0.25, 0.05 * announced, 2 * float(np.diff(shown_seconds).max()))
    # Sound or subtitles may simply go on for longer than the picture.
    if shown_seconds[-1] - first < bearable and (held := _end_of_all_streams(source) - first) < bearable:
        return f"the file is cut short: it announces {announced:.1f} s and holds {held:.1f} s"
    return None


def _end_of_all_streams(source: Path | bytes) -> float:
    end_seconds = 0.0
    container, _ = open_video(source)
    with container:
        try:
            for packet in container.demux():
                if packet.size and packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    end_seconds = max(end_seconds, end)
        except (FFmpegError, OSError):
            pass
    return end_seconds


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
