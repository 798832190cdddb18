"""Ctrl-C, and the signal of a cluster that takes its machine back: the step is finished and saved first."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

AGAIN_SECONDS = 2.0
"""A signal that follows another within this time is the same one: torchrun passes on what a terminal sends to all."""


class Interrupt:
    """Inside `with`, `asked` says whether the user wants to stop; asked once more, it ends at once.

    Signals can be caught in the main thread only: in another one nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._since > AGAIN_SECONDS:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._since = True, now
