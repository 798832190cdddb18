"""A thread that reads a source, and a mailbox for the newest window: what is slow behind it cannot make it lag."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Thread

from tubelet.errors import DecodeError, TooShortError
from tubelet.streaming.sources import Frame, Origin, Pace
from tubelet.streaming.windows import ArrivedWindow, Windows

WAITING = 4
"""Windows that wait at most where none may be left out."""
LONGEST_PAUSE_SECONDS = 30.0
"""Between two tries to open a source again."""
STEADY_SECONDS = 10.0
"""A source that gave frames for so long has its retries back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrival:
    """A window, and what happened since the one that was taken before it."""

    window: ArrivedWindow
    arrived: float
    """When its last frame was there, by `time.monotonic`."""
    skipped_answers: int
    """Windows that nobody took in time."""
    skipped_frames: int
    """Frames of the source in no window that was taken: those of skipped windows, and those that were lost."""


class Reader:
    """Reads a source in a thread of its own, from `start` on. Holds at most `WAITING` windows.

    Args:
        origin: the source.
        windows: makes windows of its frames; used by the thread alone.
        pace: with `keep_up` only the newest window waits; else reading waits for those who take them.
        retries: how often to open the source again where it breaks or ends, one pause after the other.
    """

    def __init__(self, origin: Origin, windows: Windows, pace: Pace, retries: int = 0) -> None:
        self.origin, self.windows, self.pace, self.retries = origin, windows, pace, retries
        self.error: BaseException | None = None
        self._changed = Condition()
        self._waiting: deque[tuple[ArrivedWindow, float]] = deque()
        self._given = False
        self._ended = self._stopped = False
        self._skipped_answers = self._skipped_frames = 0
        self._last_taken = -1  # the number of the last frame that was in a window which was taken
        self._thread = Thread(target=self._run, name="tubelet-reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no further. A read that waits for a device or a pipe ends with it."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def take(self) -> Arrival | None:
        """The next window, waited for; None at the end of the source.

        Raises:
            DecodeError: what ended the reading, after the windows before it.
            ConfigError: if the view cannot show these frames.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                if self.error is not None:
                    raise self.error
                return None
            window, arrived = self._waiting.popleft()
            arrival = Arrival(
                window=window,
                arrived=arrived,
                skipped_answers=self._skipped_answers,
                skipped_frames=self._skipped_frames,
            )
            self._skipped_answers = self._skipped_frames = 0
            self._last_taken = window.numbers[-1]
            self._changed.notify_all()
            return arrival

    def _run(self) -> None:
        try:
            for frame, seconds, lost in self._frames():
                self._skipped_frames += lost
                arrived = time.monotonic()
                for window in self.windows.see(frame.pixels, seconds, lost=lost, cut=frame.cut):
                    self._put(window, arrived)
                if self._stopped:
                    return
            for window in self.windows.end():
                self._put(window, time.monotonic())
            if not self._given:
                raise TooShortError(
                    f"{self.origin.name}: it ends before a window of {self.windows.view.frames} frames, and the view "
                    'says short="refuse".'
                )
        except BaseException as error:  # raised where the windows are taken
            self.error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, window: ArrivedWindow, arrived: float) -> None:
        with self._changed:
            self._given = True
            if self.pace.keep_up and self._waiting:
                late, _ = self._waiting.popleft()
                self._skipped_answers += 1
                self._skipped_frames += max(window.numbers[0] - max(late.numbers[0], self._last_taken + 1), 0)
            self._changed.wait_for(lambda: len(self._waiting) < WAITING or self._stopped)
            self._waiting.append((window, arrived))
            self._changed.notify_all()

    def _frames(self) -> Iterator[tuple[Frame, float, int]]:
        """Frames with their seconds and how many were lost before each, of one opening after another."""
        begun = time.monotonic()
        tries = 0
        shift = 0.0
        while True:
            opened, again = time.monotonic(), shift > 0
            try:
                for frame in self.origin.open(self.pace):
                    yield frame, frame.seconds + shift, frame.lost + again
                    again = False
                if not self.retries:
                    return
                problem = DecodeError(f"{self.origin.name}: the stream ended.")
            except DecodeError as error:
                problem = error
            if time.monotonic() - opened > STEADY_SECONDS:
                tries = 0
            if tries == self.retries or not self._pause(min(2.0**tries, LONGEST_PAUSE_SECONDS)):
                raise problem
            tries += 1
            shift = time.monotonic() - begun

    def _pause(self, seconds: float) -> bool:
        """Whether nobody stopped the reading meanwhile."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._stopped, timeout=seconds)
