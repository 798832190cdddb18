"""The models of a server by their names, and how one is exchanged for another while requests go on."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tubelet.classifier import Classifier
from tubelet.cores import cores
from tubelet.engines.model import EngineModel
from tubelet.errors import TubeletError
from tubelet.loading import load
from tubelet.serving.metrics import Metrics
from tubelet.serving.problems import Problem
from tubelet.serving.worker import Worker


class Served:
    """A model that answers. Its thread lives until it is replaced, and the last request that it accepted answered."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.users = 0
        self.retired = False

    @property
    def classifier(self) -> Classifier:
        """The model, its view and its labels."""
        return self.worker.classifier

    def describe(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        classifier, view = self.classifier, self.classifier.view
        heads = classifier.labels.heads
        rate = view.frames_per_second
        return {
            "name": self.worker.name,
            "description": about(classifier),
            "heads": [{"name": h.name, "kind": h.kind, "classes": list(h.classes)} for h in heads],
            "frames": view.frames,
            "height": view.height,
            "width": view.width,
            "window_seconds": view.frames / rate if rate else None,
            "explains": explains(classifier),
        }


class Models:
    """Models by name. Used by the event loop alone, but for loading.

    Args:
        batch: see `Worker`.
        wait_seconds: see `Worker`.
        decoding: how many children decode now.
        threads: how many threads PyTorch may use. None: the cores that no child decodes on.
        device: where to compute.
        trust: see `tubelet.load`.
        metrics: where to count.
    """

    def __init__(
        self,
        *,
        batch: int,
        wait_seconds: float,
        decoding: Callable[[], int],
        threads: int | None,
        device: str,
        trust: bool,
        metrics: Metrics,
    ) -> None:
        self._batch, self._wait, self._decoding = batch, wait_seconds, decoding
        self._most_threads, self._device, self._trust, self._metrics = threads, device, trust, metrics
        self._served: dict[str, Served] = {}
        self._swapping = asyncio.Lock()

    def load(self, named: Mapping[str, str | Path]) -> None:
        """Load models and start their threads.

        Raises:
            WeightsError: as `tubelet.load`.
        """
        for name, path in named.items():
            self.add(name, load(path, trust=self._trust))

    def add(self, name: str, classifier: Classifier) -> None:
        """Serve a classifier under a name that is free."""
        served = self._made(name, classifier)
        served.worker.start()
        self._served[name] = served

    def _made(self, name: str, classifier: Classifier) -> Served:
        worker = Worker(
            classifier.to(self._device), name, batch=self._batch, wait_seconds=self._wait, coming=self._decoding,
            threads=self._threads, metrics=self._metrics,
        )  # fmt: skip
        return Served(worker)

    def _threads(self) -> int:
        return self._most_threads or max(cores() - self._decoding(), 1)

    @property
    def default(self) -> str:
        """The name of the model that answers where none is named."""
        return next(iter(self._served))

    def describe(self) -> list[dict[str, Any]]:
        """All of them."""
        return [served.describe() for served in self._served.values()]

    @contextmanager
    def using(self, name: str | None) -> Generator[Served]:
        """A model that stays until the end of a request, whatever is exchanged meanwhile.

        Raises:
            Problem: not_found.
        """
        served = self._named(self.default if name is None else name)
        served.users += 1
        try:
            yield served
        finally:
            served.users -= 1
            if served.retired and not served.users:
                served.worker.stop()

    def _named(self, name: str) -> Served:
        if name not in self._served:
            raise Problem("not_found", f"There is no model {name!r}. There are: {', '.join(self._served)}.")
        return self._served[name]

    async def swap(self, name: str, path: Path) -> None:
        """Load another model, let it answer once, and put it in the place of one.

        Raises:
            Problem: not_found, or config where it does not load; the old one then stays.
        """
        async with self._swapping:
            self._named(name)
            try:
                fresh = await asyncio.to_thread(self._warmed, name, path)
            except TubeletError as error:
                text = str(error).replace(str(path), path.name)
                raise Problem("config", f"The model {name!r} stays as it was: {text}") from error
            old, self._served[name] = self._served[name], fresh
            old.retired = True
            if not old.users:
                old.worker.stop()

    def _warmed(self, name: str, path: Path) -> Served:
        """A model that has answered once."""
        served = self._made(name, load(path, trust=self._trust))
        view = served.classifier.view
        clip = torch.zeros(1, view.frames, view.channels, view.height, view.width, dtype=torch.uint8)
        served.worker.start()
        try:
            served.worker.submit(clip).result()
        except Exception:
            served.worker.stop()
            raise
        return served

    def close(self, seconds: float) -> None:
        """End all threads."""
        for served in self._served.values():
            served.worker.stop()
        for served in self._served.values():
            served.worker.join(seconds)


def about(classifier: Classifier) -> str:
    """A model in a line."""
    heads = classifier.labels.heads
    said = classifier.extra.get("description")
    if isinstance(said, str) and said.strip():
        return said.strip().splitlines()[0]
    names = ", ".join(head.name for head in heads)
    return f"{names}: {sum(classifier.labels.classes)} classes from {classifier.view.frames} frames"


def explains(classifier: Classifier) -> bool:
    """Whether it can be looked into."""
    return not isinstance(classifier.model, EngineModel) and classifier.model.fewer_tokens is None
