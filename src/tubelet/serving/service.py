"""What all requests of a server share: its models, its decoders, and how much it takes at a time."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from tubelet.serving.decoders import Decoders
from tubelet.serving.metrics import Metrics
from tubelet.serving.models import Models
from tubelet.serving.problems import Problem
from tubelet.serving.scratch import Scratch
from tubelet.serving.settings import Settings

T = TypeVar("T")
LONGEST_RETRY_SECONDS = 60


class Service:
    """One server's.

    Args:
        settings: how it is run.
        models: names, and what `tubelet.load` reads.
        batch: see `Worker`.
        wait_seconds: see `Worker`.
        threads: see `Models`.
        device: where to compute.
        trust: see `tubelet.load`.
        scratch: see `Scratch`.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, str | Path],
        *,
        batch: int = 8,
        wait_seconds: float = 0.0,
        threads: int | None = None,
        device: str = "cpu",
        trust: bool = False,
        scratch: Path | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.decoders = Decoders(self.metrics)
        self.scratch = Scratch(scratch)
        self.decoding = 0
        """Children that decode now."""
        self.accepted = 0
        """Requests that are accepted and not answered."""
        self.draining = False
        """The server is to stop: what was accepted is finished."""
        self.models = Models(
            batch=batch, wait_seconds=wait_seconds, decoding=lambda: self.decoding, threads=threads, device=device,
            trust=trust, metrics=self.metrics,
        )  # fmt: skip
        self._named = models
        timelines = max(settings.decoders // 2, 1)
        self._slots = asyncio.Semaphore(settings.decoders)
        self._timelines = asyncio.Semaphore(timelines)
        self._threads = ThreadPoolExecutor(settings.decoders + 2 * timelines + 2, "tubelet-decoder")
        self._pace = 0.0  # seconds from one answer to the next, on average over the last ones
        self._answered = 0.0

    def start(self) -> None:
        """Load the models and start everything.

        Raises:
            WeightsError: if a model does not load.
        """
        try:
            self.models.load(self._named)
            self.decoders.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything."""
        self.models.close(5.0)
        self.decoders.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.scratch.close()

    @property
    def ready(self) -> bool:
        """Whether new work is taken."""
        return not self.draining

    @contextmanager
    def accept(self) -> Generator[float]:
        """Take one more request; gives when it must be answered, by `time.monotonic`.

        Raises:
            Problem: busy, or stopping.
        """
        if self.draining:
            raise Problem(
                "stopping", "The server is about to stop and takes no more.", headers={"Retry-After": "5"}
            )
        if self.accepted >= self.settings.queue:
            again = min(max(math.ceil(self._pace * self.accepted / 2), 1), LONGEST_RETRY_SECONDS)
            raise Problem(
                "busy",
                f"{self.accepted} requests are being answered, and no more are taken: try again in {again} s.",
                headers={"Retry-After": str(again)},
            )
        self.accepted += 1
        self.metrics.accepted.set(self.accepted)
        try:
            yield time.monotonic() + self.settings.limits.request_seconds
        finally:
            self.accepted -= 1
            self.metrics.accepted.set(self.accepted)
            now = time.monotonic()
            if self._answered:
                self._pace += 0.1 * (min(now - self._answered, 10.0) - self._pace)
            self._answered = now

    @asynccontextmanager
    async def decoder(self, *, timeline: bool = False) -> AsyncGenerator[None]:
        """A place to decode a video."""
        async with self._timelines if timeline else self._slots:
            self.decoding += 1
            try:
                yield
            finally:
                self.decoding -= 1

    async def in_thread(self, function: Callable[[], T], end: Callable[[], object]) -> T:
        """Run a function beside the event loop; where nobody waits any more, `end` makes it return soon."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, function)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            end()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # it was told to fail
            raise
