"""Opening a video file and listing its packets, without decoding.

Legend, here and in `session.py`, `index.py` and `reader.py`: *ordinal* is a packet's place in the file
(decoding order), *rank* a frame's place on the screen (presentation order), *ticks* are times in units of the
stream's time base.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tubelet.errors import DecodeError

# Stands for a time that the file does not give.
NO_TICKS = -1 << 62

# These containers write their length into a header, so a file that ends well before it has been cut.
_ANNOUNCE_LENGTH = ("matroska", "avi", "mov")


@dataclass(frozen=True)
class Packets:
    """The packets of one video stream in decoding order, all arrays (packets,)."""

    codec: str
    """FFmpeg's name of the decoder."""
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
    doubtful: bool
    """Counting needs decoding: FFmpeg marked a packet as damaged, or had to guess the presentation times."""
    cause: str | None
    """Why the file is known to end too early, as a part of a sentence; None if it does not."""

    @cached_property
    def first_key(self) -> int:
        """Ordinal of the packet where decoding begins; 0 if none is marked."""
        return int(np.argmax(self.key)) if len(self.key) else 0

    @property
    def countable(self) -> bool:
        """Whether counting packets is counting frames: times all known, all different, none before the first key."""
        if self.doubtful or self.cause or not len(self.ticks) or not self.key[0]:
            return False
        shown = self.ticks[self.shown]
        stamped = bool((shown > NO_TICKS).all()) and len(np.unique(shown)) == len(shown)
        return stamped and (not self.shown[0] or bool(self.ticks[0] == shown.min()))

    def landmarks(self) -> dict[tuple[int, int], int]:
        """(ticks, bytes) -> ordinal of the packets where decoding may begin."""
        return {(int(self.ticks[o]), int(self.bytes_[o])): int(o) for o in np.flatnonzero(self.key)}


def open_video(source: Path | bytes) -> tuple[InputContainer, VideoStream]:
    """Open a file and its first moving stream. Raises DecodeError without the file's name, for the caller to add."""
    try:
        # The prefix keeps FFmpeg from reading a name such as `concat:a` as an instruction.
        file = BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
        container = av.open(file, mode="r", metadata_errors="replace")
    except Exception as error:  # whatever the bindings raise, the file is what cannot be read
        raise DecodeError(f": cannot be opened as a video ({reason(error)})") from error
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    # Typed as always there, but a stream that FFmpeg has no decoder for, or could not make out, has none.
    readable = [s for s in streams if getattr(s, "codec_context", None) is not None]
    if readable:
        return container, readable[0]
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none at all"
    container.close()
    if streams:
        raise DecodeError(": has a video stream in a codec that cannot be made out")
    raise DecodeError(f": has no video stream (its streams: {kinds})")


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, as a part of a sentence."""
    words = str(getattr(error, "strerror", None) or error or type(error).__name__).strip().rstrip(".")
    return words[:1].lower() + words[1:]


def list_packets(source: Path | bytes) -> tuple[Packets, Fraction, float | None]:
    """Read every packet of the video stream without decoding: packets, time base, announced frame rate."""
    container, stream = open_video(source)
    with container:
        codec = stream.codec_context.name
        hides = codec in ("vp8", "libvpx")
        rows: list[tuple[int, int, int, bool, bool, int]] = []
        # AVI stores no presentation times, and FFmpeg's guess is wrong for some streams with B-frames.
        doubtful = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        cause = None
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                pts = NO_TICKS if packet.pts is None else packet.pts
                dts = pts if packet.dts is None else packet.dts
                # Bit 4 of a VP8 frame's first byte says whether the frame is shown.
                shown = not packet.is_discard and not (hides and not memoryview(packet)[0] & 0x10)
                rows.append((pts, dts, packet.size, packet.is_keyframe, shown, packet.duration or 0))
                doubtful |= packet.is_corrupt
        except (FFmpegError, OSError) as error:
            cause = f"reading stops after {len(rows)} packets ({reason(error)})"
        columns = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(6)]
        ticks, decode_ticks, sizes, key, shown, durations = columns
        shown = shown.astype(np.bool_)
        last = int(np.argmax(np.where(shown, ticks, NO_TICKS))) if len(rows) else 0
        time_base = Fraction(stream.time_base or Fraction(1, av.time_base))
        rate = stream.average_rate or stream.guessed_rate
        known = np.sort(ticks[shown & (ticks > NO_TICKS)]).astype(np.float64)
        shown_seconds = np.multiply(known, float(time_base), dtype=np.float64)
        cause = cause or _cut(source, container, stream, len(rows), shown_seconds)
        last_ticks = int(durations[last]) if len(rows) else 0
        packets = Packets(
            codec,
            ticks,
            decode_ticks,
            sizes,
            key.astype(np.bool_),
            shown,
            last_ticks,
            doubtful=doubtful,
            cause=cause,
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
    listed = len(stream.index_entries)
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
