"""From a video that was given to an answer: a child decodes, the model's thread computes, the event loop waits."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tubelet.errors import ConfigError
from tubelet.explanation.explain import Explanation, Seen, check, explain_clip
from tubelet.explanation.pictures import write_film
from tubelet.prediction import Prediction, of_windows
from tubelet.serving.decoders import Child
from tubelet.serving.given import Given
from tubelet.serving.limits import MOST_CLIPS
from tubelet.serving.models import Served
from tubelet.serving.problems import Problem
from tubelet.serving.service import Service
from tubelet.serving.task import Task
from tubelet.serving.wire import Clips, Message, Window
from tubelet.serving.worker import Answered, Worker
from tubelet.video.checks import parse_views

AHEAD = 2
"""Batches of windows of one video that wait for the model, at most, while the next is decoded."""


@dataclass(eq=False)
class Submitted:
    """What a video became: clips that wait for the model, and what is known of each."""

    futures: list["Future[Answered]"] = field(default_factory=list["Future[Answered]"])
    clips: list[Clips | Window] = field(default_factory=list[Clips | Window])
    """Without their pixels."""
    decoded_seconds: float = 0.0

    def cancel(self) -> None:
        """What waits is not computed."""
        for future in self.futures:
            future.cancel()


async def predict(
    service: Service, served: Served, given: Given, views: str | None, top: int, deadline: float
) -> dict[str, Any]:
    """What the model says of a video: `Prediction.to_dict`, and the seconds that it took.

    Raises:
        Problem: if the video cannot be read.
        ConfigError: for views that cannot be.
    """
    classifier = served.classifier
    classifier.check_asked(views)
    clips, crops = parse_views(views or classifier.view.views)
    if clips * crops > MOST_CLIPS:
        raise ConfigError(f"{clips * crops} views of a video; at most {MOST_CLIPS} are taken.")
    kind = "windows" if classifier.view.answers == "window" else "clips"
    task = Task(
        kind=kind, name=given.name, view=classifier.view, limits=service.settings.limits, views=f"{clips}x{crops}",
    )  # fmt: skip
    begun = time.monotonic()
    submitted = Submitted()
    try:
        async with service.decoder():
            waited = time.monotonic() - begun
            child = service.decoders.child(task, given.file, deadline)
            await service.in_thread(lambda: submit_all(child, served.worker, submitted), child.kill)
        answers = [await asyncio.wrap_future(future) for future in submitted.futures]
    finally:
        submitted.cancel()
    found = predictions(served, given.name, submitted.clips, torch.cat([a.value for a in answers]))
    name, metrics = served.worker.name, service.metrics
    waited += sum(a.waited_seconds for a in answers[:1])
    metrics.waited.labels(name).observe(waited)
    metrics.decoded.labels(name).observe(submitted.decoded_seconds)
    computed = sum(a.model_seconds for a in answers)
    seconds = {"waited": waited, "decoded": submitted.decoded_seconds, "model": computed}
    return {
        **found.to_dict(top),
        "model": name,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
    }


def submit_all(child: Child, worker: Worker, submitted: Submitted) -> None:
    """Hand the clips of a video to the model as they are decoded: all of one message together, windows in batches."""
    begun = time.monotonic()
    pixels: list[torch.Tensor] = []
    for message in child.messages():
        if isinstance(message, Clips):
            submitted.futures.append(worker.submit(message.pixels))
            submitted.clips.append(replace(message, pixels=torch.zeros(0)))
        elif isinstance(message, Window):
            pixels.append(message.pixels)
            submitted.clips.append(replace(message, pixels=torch.zeros(0)))
            if len(pixels) == worker.batch:
                if len(submitted.futures) >= AHEAD:
                    submitted.futures[-AHEAD].exception()  # waits
                submitted.futures.append(worker.submit(torch.stack(pixels)))
                pixels = []
    submitted.decoded_seconds = time.monotonic() - begun
    if pixels:
        submitted.futures.append(worker.submit(torch.stack(pixels)))


def predictions(
    served: Served, name: str, clips: Sequence[Clips | Window], logits: torch.Tensor
) -> Prediction:
    """What the logits `(V, sum(classes))` of a video's clips say."""
    labels = served.classifier.labels
    if len(clips) == 1 and isinstance(clips[0], Clips):
        indices, seconds = torch.from_numpy(clips[0].indices), clips[0].duration_seconds
        return Prediction(name, labels, labels.averaged(logits, "logits"), indices, 0.0, seconds)
    windows = [
        Prediction(name, labels, one, torch.from_numpy(w.numbers)[None], w.start_seconds, w.end_seconds)
        for one, w in zip(logits, clips, strict=True)
        if isinstance(w, Window)
    ]
    if not windows:
        raise Problem("decode", f"{name}: holds no window of frames.")
    return of_windows(windows)


@dataclass(frozen=True)
class Asked:
    """What is to be explained."""

    head: str | None
    label: str | None
    at_seconds: float | None


async def explain(
    service: Service, served: Served, given: Given, asked: Asked, deadline: float
) -> tuple[bytes, str]:
    """A film of where the model looked, and which class it explains, as `HEAD=LABEL`.

    Raises:
        Problem: if the video cannot be read.
        ConfigError: for a head or class that there is not.
    """
    classifier = served.classifier
    head = classifier.labels.heads[0].name if asked.head is None else asked.head
    check(classifier, asked.label, head, "gradient")
    task = Task(
        kind="moment", name=given.name, view=classifier.view, limits=service.settings.limits,
        at_seconds=asked.at_seconds,
    )  # fmt: skip
    async with service.decoder():
        child = service.decoders.child(task, given.file, deadline)
        messages: list[Message] = await service.in_thread(lambda: list(child.messages()), child.kill)
    (clips,) = [m for m in messages if isinstance(m, Clips)]
    seen = Seen(given.name, clips.pixels[0], clips.indices[0], clips.seconds[0])

    def compute() -> Explanation:
        return explain_clip(classifier, seen, asked.label, head=head)

    waiting = served.worker.call(compute)
    found: Explanation = (await asyncio.wrap_future(waiting)).value
    film = await asyncio.to_thread(film_of, found, service.scratch.folder)
    return film, f"{found.head}={found.label}"


def film_of(found: Explanation, folder: Path) -> bytes:
    """The film of an explanation, at the speed of the video."""
    gaps = np.diff(found.seconds)
    rate = 1 / float(np.median(gaps)) if len(gaps) and np.median(gaps) > 0 else 8.0
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return write_film(found, Path(place, "overlay.mp4"), min(max(rate, 1.0), 60.0)).read_bytes()
