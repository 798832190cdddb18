"""What is known of a video file before any frame is asked for: its frames' times and where decoding may begin."""

from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Lock

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tubelet.errors import DecodeError
from tubelet.video.packets import Packets, list_packets, reason
from tubelet.video.session import Session, count_frames


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
        """(h, w, 3) as stored -> (H, W, 3) as shown."""
        if self == Turn():
            return picture
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        view = picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        turned = np.empty(view.shape, dtype=np.uint8)
        for channel in range(3):  # five times as fast as all channels in one copy
            turned[..., channel] = view[..., channel]
        return turned

    def shape(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width as stored -> height and width as shown."""
        return (size[1], size[0]) if self.transpose else size


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
    turn: Turn
    packets: Packets
    marks_unneeded: bool
    """Whether the decoder can tell from a packet alone that no other frame needs its frame, and leave it out."""
    starts: tuple[NDArray[np.int64], NDArray[np.int64]] = field(repr=False)
    """Ordinals and ticks of the packets from which a seek may begin; empty when the file cannot be trusted."""

    def start_for(self, rank: int) -> int:
        """Ordinal of the nearest packet from which the frame of this rank can be decoded."""
        ordinals, ticks = self.starts
        # A frame shown before its key packet (open group of pictures) leans on the group before it.
        usable = int(np.searchsorted(ticks, self.ticks[rank], side="right"))
        return int(ordinals[usable - 1]) if usable else self.packets.first_key


Opened = tuple[Session, VideoFrame]

# Of these, FFmpeg's own decoders leave out a frame that no other refers to when told so packet by packet; a decoder
# of another library is told once, when it is opened.
_MARKING = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})

# Indexes already made, because many samples are often segments of one long file.
_INDEXES: OrderedDict[tuple[str, int, int, bool], Index] = OrderedDict()
_INDEXES_KEPT = 32
_LOCK = Lock()


def index_of(source: Path | bytes, name: str, keep: bool, threads: int) -> tuple[Index, Opened | None]:
    """The index of a file, remembered until the file changes. Raises DecodeError.

    Where the making of it has opened a decoder, that comes with it, with the first frame.
    """
    try:
        if isinstance(source, bytes):
            return _make_index(source, len(source), keep, threads)
        status = source.stat()
        key = (str(source), status.st_mtime_ns, status.st_size, keep)
        with _LOCK:
            if key in _INDEXES:
                _INDEXES.move_to_end(key)
                return _INDEXES[key], None
        index, opened = _make_index(source, status.st_size, keep, threads)
    except DecodeError as error:
        raise DecodeError(f"{name}{error}.") from error.__cause__
    except OSError as error:
        raise DecodeError(f"{name}: cannot be read ({reason(error)}).") from error
    with _LOCK:
        _INDEXES[key] = index
        while len(_INDEXES) > _INDEXES_KEPT:
            _INDEXES.popitem(last=False)
    return index, opened


def _make_index(source: Path | bytes, bytes_: int, keep: bool, threads: int) -> tuple[Index, Opened | None]:
    """Raises DecodeError with the message that follows the file's name."""
    if not bytes_:
        raise DecodeError(": the file is empty (0 bytes)")
    packets, time_base, rate = list_packets(source)
    counted = keep or not packets.countable
    stamps: list[int | None] = []
    opened: Opened | None = None
    if counted:
        stamps, first, cause = count_frames(source, packets)
    else:
        opened, cause = _open(source, packets, threads)
        first = opened[1] if opened else None
    cause = cause or packets.cause
    if first is None:
        raise DecodeError(f": no frame can be decoded{f'; {cause}' if cause else ''}")
    if cause and not keep:
        raise DecodeError(f', frame {len(stamps)}: {cause}; damaged="keep" gives the frames before it')
    if counted:
        ticks, stamped = _ticks_from_frames(stamps, rate, float(time_base))
    else:
        ticks, stamped = np.sort(packets.ticks[packets.shown]), True
    index = Index(
        ticks=ticks,
        stamped=stamped,
        time_base=time_base,
        nominal_rate=rate,
        size=(first.height, first.width),
        turn=Turn.of(first),
        packets=packets,
        marks_unneeded=not counted and packets.codec in _MARKING,
        starts=_starts(packets, stamped),
    )
    return index, opened


def _open(source: Path | bytes, packets: Packets, threads: int) -> tuple[Opened | None, str | None]:
    """A decoder with its first frame, or what stopped it (None: it has no frame)."""
    session, cause = Session(source, threads, packets), None
    try:
        first = session.next_frame()
        if first is not None:
            return (session, first), None
    except (FFmpegError, OSError) as error:
        cause = f"decoding fails ({reason(error)})"
    session.close()
    return None, cause


def _ticks_from_frames(
    stamps: list[int | None], rate: float | None, tick_seconds: float
) -> tuple[NDArray[np.int64], bool]:
    """Each frame's ticks as decoded; evenly spaced where frames carry no times. And whether they are exact."""
    known = np.array([s for s in stamps if s is not None], dtype=np.int64)
    if len(known) < len(stamps):
        step = 1 / (rate or 25.0) / tick_seconds
        return np.round(np.arange(len(stamps)) * step).astype(np.int64), False
    if len(known) > 1 and (np.diff(known) <= 0).any():
        return np.sort(known), False
    return known, True


def _starts(packets: Packets, stamped: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ordinals = np.flatnonzero(packets.key & packets.shown)
    ticks = packets.ticks[ordinals]
    marks = np.stack([packets.ticks, packets.bytes_], axis=1)
    unique = len(np.unique(marks, axis=0)) == len(marks)
    if not stamped or not unique or (np.diff(ticks) <= 0).any():
        ordinals = ticks = np.zeros(0, dtype=np.int64)
    return ordinals, ticks
