"""Exact random access to the frames of one video file: seek where that is cheaper, and check where it landed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tubelet.errors import DecodeError
from tubelet.video.index import index_of
from tubelet.video.packets import reason
from tubelet.video.session import Astray, Session, Wanted

# What a parent process opened: freeing it in a forked child could wait for threads that live in the parent.
_LEFT_TO_PARENT: list[Session | VideoReformatter] = []


class FileReader:
    """Frames of a video file by rank. Opens its decoder when first asked, and again in another process."""

    def __init__(self, source: Path | bytes, name: str, *, keep: bool, threads: int):
        self.name = name
        self.index, opened = index_of(source, name, keep, threads)
        self.height, self.width = self.index.turn.shape(self.index.size)
        ticks = self.index.ticks
        self.times: NDArray[np.float64] = (ticks - ticks[0]) * float(self.index.time_base)
        self.last_seconds = self.index.packets.last_ticks * float(self.index.time_base)
        self.nominal_rate = self.index.nominal_rate
        self._source = source
        self._threads = threads
        self._trusts_seek = self._trusts_gaps = True
        self._wanted: Wanted | None = None
        self._process = os.getpid()
        self._session: Session | None
        self._frame: VideoFrame | None
        self._session, self._frame = opened or (None, None)
        self._rank = 0 if opened else -1
        self._reformatter = VideoReformatter()

    def pictures(self, ranks: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The frames of these ascending ranks, each (H, W, 3) RGB; valid until the next one is asked for."""
        self._wanted, finished = self._sparse(ranks), False
        try:
            for rank in ranks:
                yield self._to_rgb(self._reach(rank), rank)
            finished = True
        finally:
            if not finished:
                self.close()  # what was left out may be what is asked for next

    def _sparse(self, ranks: Sequence[int]) -> Wanted | None:
        """What the decoder is to be told of the frames that are wanted; None where it is to decode all of them."""
        if not ranks or not self._trusts_gaps or not self.index.marks_unneeded:
            return None
        ticks: list[int] = self.index.ticks[ranks].tolist()
        return Wanted(frozenset(ticks), ticks[-1])

    def close(self) -> None:
        """Let the decoder go; it is opened again when needed."""
        session, self._session = self._session, None
        self._rank, self._frame = -1, None
        if session is None:
            return
        if self._process == os.getpid():
            session.close()
        else:
            _LEFT_TO_PARENT.append(session)

    def _leave_to_parent(self) -> None:
        """After a fork, begin with a decoder and a converter of this process."""
        self.close()
        _LEFT_TO_PARENT.append(self._reformatter)
        self._reformatter = VideoReformatter()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, object]:
        fresh: dict[str, object] = {"_session": None, "_frame": None, "_rank": -1, "_reformatter": None}
        return self.__dict__ | fresh

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._process = os.getpid()
        self._reformatter = VideoReformatter()

    def _reach(self, rank: int) -> VideoFrame:
        """The frame of this rank: continue, or seek near it, or begin again; the last decides whether it is bad."""
        if self._process != os.getpid():
            self._leave_to_parent()
        if self._rank == rank and self._frame is not None:
            return self._frame
        index, session = self.index, self._session
        goes_on = session is not None and 0 <= self._rank == rank - 1
        start = index.packets.first_key
        if self._trusts_seek and not goes_on:
            start = index.start_for(rank)
        goes_on = goes_on or (session is not None and self._rank < rank and start <= session.ordinal)
        if session is not None:
            session.wanted = self._wanted
        try:
            if session is not None and goes_on:
                return self._advance(session, rank)
            if self._trusts_seek and len(index.starts[0]) and (session or start > index.packets.first_key):
                return self._seek(session or self._open(), start, rank)
            if self._wanted is not None:
                return self._advance(self._open(), rank)
        except (Astray, FFmpegError, OSError):
            # What fails after a seek, or when going on, is only believed when it fails from the start too, where
            # every frame is decoded.
            self._trusts_gaps, self._wanted = False, None
            if self._session is not None and self._session.sought:
                self._trusts_seek = False
        return self._from_start(rank)

    def _open(self) -> Session:
        self.close()
        try:
            session = Session(self._source, self._threads, self.index.packets)
            session.wanted = self._wanted
        except DecodeError as error:
            raise DecodeError(f"{self.name}{error}.") from error.__cause__
        self._session = session
        return session

    def _seek(self, session: Session, start: int, rank: int) -> VideoFrame:
        self._rank, self._frame = -1, None
        if not session.seek(start):
            # One group of pictures earlier: some containers land late.
            ordinals = self.index.starts[0]
            earlier = ordinals[max(int(np.searchsorted(ordinals, start)) - 2, 0)]
            if not session.seek(int(earlier)):
                return self._from_start(rank)
        frame = session.next_frame()
        if frame is None or frame.pts is None:
            raise Astray
        landed = int(np.searchsorted(self.index.ticks, frame.pts))
        if landed > rank or self.index.ticks[landed] != frame.pts:
            raise Astray
        self._rank, self._frame = landed, frame
        return self._advance(session, rank)

    def _from_start(self, rank: int) -> VideoFrame:
        session = self._open()
        try:
            return self._advance(session, rank)
        except (Astray, FFmpegError, OSError) as error:
            bad = self._rank + 1
            self.close()
            if isinstance(error, Astray):
                count = len(self.index.ticks)
                cause = f"decoding does not give the {count} frames that the file's packets promise"
            else:
                cause = f"decoding fails ({reason(error)})"
            raise DecodeError(
                f'{self.name}, frame {bad}: {cause}; damaged="keep" gives the frames before it.'
            ) from error

    def _advance(self, session: Session, rank: int) -> VideoFrame:
        """Decode up to this rank, checking each frame's time against the index."""
        ticks, stamped = self.index.ticks, self.index.stamped
        frame = self._frame
        while self._rank < rank or frame is None:
            frame = session.next_frame()
            if frame is None:
                raise Astray
            landed = self._rank + 1
            if session.wanted is not None and frame.pts is not None and frame.pts != ticks[landed]:
                landed = int(np.searchsorted(ticks, frame.pts))  # frames that nobody needs may be missing
            if not self._rank < landed <= rank or (stamped and frame.pts != ticks[landed]):
                raise Astray
            self._rank, self._frame = landed, frame
        return frame

    def _to_rgb(self, frame: VideoFrame, rank: int) -> NDArray[np.uint8]:
        if (frame.height, frame.width) != self.index.size:
            height, width = self.index.size
            raise DecodeError(
                f"{self.name}, frame {rank}: the picture is {frame.width}x{frame.height} "
                f"in a video of {width}x{height}."
            )
        try:
            return self.index.turn(rgb_of(frame, self._reformatter, self._threads))
        except (FFmpegError, ValueError, OSError) as error:
            raise DecodeError(f"{self.name}, frame {rank}: no RGB picture ({reason(error)}).") from error


def rgb_of(frame: VideoFrame, reformatter: VideoReformatter, threads: int = 1) -> NDArray[np.uint8]:
    """A decoded frame as (h, w, 3) RGB, not turned; valid until the reformatter makes the next one."""
    plane = reformatter.reformat(frame, format="rgb24", threads=threads).planes[0]
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
