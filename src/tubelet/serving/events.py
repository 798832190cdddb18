"""`POST /timeline`: windows as they are answered, then segments, as server-sent events."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tubelet.errors import TubeletError
from tubelet.labels import Head
from tubelet.prediction import Prediction
from tubelet.serving.decoders import Child
from tubelet.serving.given import Given
from tubelet.serving.models import Served
from tubelet.serving.problems import Problem, problem_of
from tubelet.serving.service import Service
from tubelet.serving.task import Task
from tubelet.serving.wire import End, Message, Opened, Window
from tubelet.serving.worker import Answered
from tubelet.streaming.engine import Engine
from tubelet.streaming.windows import ArrivedWindow
from tubelet.timelines.rules import Rules
from tubelet.timelines.timeline import Timeline, usual_hop

MOST_CURVES = 12
"""Classes whose probabilities are told over time."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a timeline is made."""

    rules: Rules
    hop: int | None
    window_seconds: float | None
    respect_cuts: bool
    top: int


@dataclass(eq=False)
class Seen:
    """What was answered so far."""

    logits: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    windows: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    stretches: list[int] = field(default_factory=list[int])
    cuts: tuple[float, ...] = ()
    complete: bool = False
    tops: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])
    """Of each head, the classes that were ever among the best."""


def event(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


class Following:
    """A video that is followed; `begin` first, then `events`, and `close` whatever happens."""

    def __init__(
        self, service: Service, served: Served, given: Given, course: Course, deadline: float
    ) -> None:
        self.service, self.served, self.given, self.course = service, served, given, course
        self.deadline = deadline
        classifier = served.classifier
        hop = usual_hop(classifier) if course.hop is None else course.hop
        self.engine = Engine(
            classifier,
            hop,
            window_seconds=course.window_seconds,
            name=given.name,
            batch_size=served.worker.batch,
        )
        self.seen = Seen()
        self._place = service.decoder(timeline=True)
        self._placed = False
        self._child: Child | None = None
        self._messages: Iterator[Message] = iter(())
        self._next: asyncio.Task[list[Message]] | None = None

    async def begin(self) -> Opened:
        """Open the video, so that what cannot be opened is an answer of its own.

        Raises:
            Problem: if it cannot be opened.
        """
        began = time.monotonic()
        await self._place.__aenter__()
        self._placed = True
        self.service.metrics.waited.labels(self.served.worker.name).observe(time.monotonic() - began)
        task = Task(
            kind="timeline", name=self.given.name, view=self.engine.view, limits=self.service.settings.limits,
            hop=self.engine.hop, cuts=self.course.respect_cuts,
        )  # fmt: skip
        self._child = self.service.decoders.child(task, self.given.file, self.deadline)
        self._messages = self._child.messages()
        (opened,) = await self._take(1)
        assert isinstance(opened, Opened)
        return opened

    async def events(self, opened: Opened) -> AsyncGenerator[str]:
        """All events. What ends it early is one of them, after the segments of what was seen."""
        model = self.served.describe()
        start = {"video": self.given.name, "model": model["name"], "heads": model["heads"]}
        yield event("start", {**start, "duration_seconds": opened.duration_seconds})
        problem: Problem | None = None
        try:
            async with (
                asyncio.timeout(max(self.deadline - time.monotonic(), 0)),
                aclosing(self._windows()) as windows,
            ):
                async for told in windows:
                    yield told
            self.seen.complete = True
        except TimeoutError:
            problem = Problem(
                "timeout", f"{self.given.name}: the time for a request is over; the rest was not seen."
            )
        except Problem as found:
            problem = found
        except TubeletError as error:
            problem = problem_of(error)
        except Exception:
            logging.getLogger("tubelet.serving").exception("A timeline failed.")
            problem = Problem("internal", "The server made a mistake; its log says which.")
        if self.seen.windows:
            yield event("segments", await asyncio.to_thread(self._segments))
        if problem is not None:
            yield event("error", {"kind": problem.kind, "message": problem.message})
        yield event("end", {})

    async def _windows(self) -> AsyncGenerator[str]:
        """Events of windows as they are answered; the next are decoded meanwhile."""
        worker = self.served.worker
        self._next = asyncio.ensure_future(self._take(worker.batch))
        while messages := await self._next:
            if not isinstance(messages[-1], End):
                self._next = asyncio.ensure_future(self._take(worker.batch))
            batch = [arrived(m) for m in messages if isinstance(m, Window)]
            if batch:
                answered: Answered = await asyncio.wrap_future(
                    worker.call(lambda b=batch: self.engine.logits(b))
                )
                for window, logits in zip(batch, answered.value, strict=True):
                    yield event("window", self._window(window, logits))
            if isinstance(messages[-1], End):
                self.seen.cuts = messages[-1].cuts
                return

    async def _take(self, most: int) -> list[Message]:
        """The next messages: one that is waited for, and those that are there already."""
        child = self._child
        assert child is not None

        def take() -> list[Message]:
            found: list[Message] = []
            for message in self._messages:
                found.append(message)
                if isinstance(message, End) or len(found) >= most or not child.has_more():
                    break
            return found

        return await self.service.in_thread(take, child.kill)

    def _window(self, window: ArrivedWindow, logits: torch.Tensor) -> dict[str, Any]:
        """An answer, which is remembered too."""
        seen, labels = self.seen, self.engine.classifier.labels
        seen.logits.append(logits.numpy())
        seen.windows.append((window.start_seconds, window.end_seconds))
        seen.stretches.append(window.stretch)
        said = Prediction(self.given.name, labels, logits, torch.tensor(window.numbers)[None])
        tops = {h.name: said.top(self.course.top, h.name) for h in labels.heads}
        for head in labels.heads:
            best = seen.tops.setdefault(head.name, {})
            best.update((label, None) for label, _ in tops[head.name] if label in head.classes)
        return {
            "start_seconds": round(window.start_seconds, 3),
            "end_seconds": round(window.end_seconds, 3),
            "seen_seconds": round(window.end_seconds, 3),
            "heads": {name: [[label, round(p, 5)] for label, p in top] for name, top in tops.items()},
        }

    def _segments(self) -> dict[str, Any]:
        seen = self.seen
        found = Timeline(
            video=self.given.name, labels=self.engine.classifier.labels, logits=np.stack(seen.logits),
            windows=np.array(seen.windows, dtype=np.float64), stretches=np.array(seen.stretches, dtype=np.int64),
            cuts=seen.cuts, rules=self.course.rules, complete=seen.complete,
        )  # fmt: skip
        curves = {h.name: curves_of(found, h, list(seen.tops[h.name])) for h in found.labels.heads}
        return {**found.to_dict(), "probabilities": curves}

    async def close(self) -> None:
        """Let everything go."""
        if self._child is not None:
            self._child.kill()
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        if self._child is not None:
            self._child.close()
        if self._placed:
            self._placed = False
            await self._place.__aexit__(None, None, None)


def arrived(window: Window) -> ArrivedWindow:
    """A window of a child, as an engine takes it."""
    return ArrivedWindow(
        numbers=tuple(window.numbers.tolist()),
        pixels=tuple(window.pixels.unbind()),
        start_seconds=window.start_seconds,
        end_seconds=window.end_seconds,
        stretch=window.stretch,
    )


def curves_of(found: Timeline, head: Head, best: Sequence[str]) -> dict[str, Any]:
    """Probabilities over time of the classes that were ever among the best; of more than a dozen the highest."""
    values = found.probabilities(head.name)
    places = sorted((head.classes.index(label) for label in best), key=lambda i: -float(values[:, i].max()))
    chosen = sorted(places[:MOST_CURVES])
    return {
        "classes": [head.classes[i] for i in chosen],
        "start_seconds": np.round(found.edges[:, 0], 3).tolist(),
        "end_seconds": np.round(found.edges[:, 1], 3).tolist(),
        "values": [np.round(values[:, i].astype(np.float64), 5).tolist() for i in chosen],
    }
