"""The thread that owns a model: clips of several requests go through it together, as soon as it is free."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.serving.metrics import Metrics

QUEUED_BATCHES = 4
"""Batches that wait at most; a decoder then waits with what it has."""


@dataclass(frozen=True)
class Answered:
    """What the model's thread gives back."""

    value: Any
    """Logits (V, sum(classes)), or what a function returned."""
    waited_seconds: float
    model_seconds: float
    """Of the whole batch."""


@dataclass(eq=False)
class Job:
    """What waits: the clips of one video, or a function that needs the model alone."""

    clips: Tensor | None
    """uint8 (V, F, C, H, W)."""
    function: Callable[[], Any] | None = None
    future: "Future[Answered]" = field(default_factory=lambda: Future())
    queued: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """In clips."""
        return 1 if self.clips is None else len(self.clips)


class Worker:
    """A model and its thread.

    Args:
        classifier: the model; nothing else uses it.
        name: the model's, in metrics.
        batch: most clips at a time; a video of more goes through alone, so many at a time.
        wait_seconds: how long a batch that is not full waits for company while a video of this model is decoded.
        coming: how many videos of this model are decoded now.
        threads: how many threads PyTorch is to compute with, now.
        metrics: where to count.
    """

    def __init__(
        self,
        classifier: Classifier,
        name: str,
        *,
        batch: int,
        wait_seconds: float,
        coming: Callable[[], int],
        threads: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self.classifier, self.name = classifier, name
        self.batch, self._wait = batch, wait_seconds
        self._coming, self._threads, self._metrics = coming, threads, metrics
        self._changed = Condition()
        self._jobs: deque[Job] = deque()
        self._stopping = False
        self._thread = Thread(target=self._run, name=f"tubelet-model-{name}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def submit(self, clips: Tensor) -> "Future[Answered]":
        """Put the clips of a video in the queue: uint8 (V, F, C, H, W). Waits while it is full.

        A future that is cancelled before its turn costs the model nothing.
        """
        return self._put(Job(clips))

    def call(self, function: Callable[[], Any]) -> "Future[Answered]":
        """Let the model's thread run a function, alone."""
        return self._put(Job(None, function))

    def stop(self) -> None:
        """End the thread when everything in the queue is answered."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for that."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def waiting(self) -> int:
        """Clips in the queue."""
        return sum(job.size for job in self._jobs)

    def _put(self, job: Job) -> "Future[Answered]":
        room = QUEUED_BATCHES * self.batch
        with self._changed:
            while self._jobs and self.waiting() + job.size > room:
                self._drop_cancelled()
                if not self._changed.wait(1.0) and job.future.cancelled():
                    break
            self._jobs.append(job)
            self._count()
            self._changed.notify_all()
        return job.future

    def _drop_cancelled(self) -> None:
        self._jobs = deque(job for job in self._jobs if not job.future.cancelled())

    def _count(self) -> None:
        self._metrics.queue.labels(self.name).set(self.waiting())

    def _run(self) -> None:
        while jobs := self._take():
            self._answer(jobs)

    def _take(self) -> list[Job]:
        """The next batch, waited for; none at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._stopping)
                if not self._jobs:
                    return []
                if self._wait and self._jobs[0].clips is not None:
                    until = self._jobs[0].queued + self._wait
                    self._changed.wait_for(self._full_or_alone, max(until - time.monotonic(), 0))
                jobs = [job for job in self._pop() if job.future.set_running_or_notify_cancel()]
                self._count()
                self._changed.notify_all()
                if jobs:
                    return jobs

    def _full_or_alone(self) -> bool:
        """Whether waiting would bring nothing."""
        return self.waiting() >= self.batch or not self._coming() or self._stopping

    def _pop(self) -> list[Job]:
        """The first job, and those right behind it that go with it."""
        jobs = [self._jobs.popleft()]
        first = jobs[0].clips
        while first is not None and self._jobs and (more := self._jobs[0].clips) is not None:
            if more.shape[1:] != first.shape[1:] or sum(j.size for j in jobs) + len(more) > self.batch:
                break
            jobs.append(self._jobs.popleft())
        return jobs

    def _values(self, jobs: list[Job]) -> list[Any]:
        """What a batch of clips or the one function gives, for each job."""
        torch.set_num_threads(self._threads())
        function = jobs[0].function
        return self._logits(jobs) if function is None else [function()]

    def _logits(self, jobs: list[Job]) -> list[Tensor]:
        clips = [job.clips for job in jobs if job.clips is not None]
        pixels = clips[0] if len(clips) == 1 else torch.cat(clips)
        logits = self.classifier.run(pixels, self.batch)
        self._metrics.batch.labels(self.name).observe(len(pixels))
        return list(logits.split([len(part) for part in clips]))

    def _answer(self, jobs: list[Job]) -> None:
        """Compute, and give everybody what is theirs."""
        begun = time.monotonic()
        try:
            values = self._values(jobs)
        except Exception as error:  # what fails for a batch fails for each of it; the thread lives on
            for job in jobs:
                job.future.set_exception(error)
            return
        taken = time.monotonic() - begun
        self._metrics.computed.labels(self.name).observe(taken)
        for job, value in zip(jobs, values, strict=True):
            job.future.set_result(Answered(value, begun - job.queued, taken))
