"""`timeline`: what happens when in a video of any length, decoded once, with overlapping windows."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tubelet.classifier import Classifier
from tubelet.errors import ConfigError
from tubelet.labels import UNKNOWN_ANSWER, Labels
from tubelet.streaming.engine import Engine
from tubelet.streaming.reader import Reader
from tubelet.streaming.sources import FrameSource, Pace, origin_of
from tubelet.streaming.windows import ArrivedWindow
from tubelet.timelines.cuts import with_cuts
from tubelet.timelines.rules import Rules, Segment, segments_of, smoothed
from tubelet.video.packets import open_video

WINDOW_PARTS = 4
"""Answers for each window's time, where nobody says how far apart they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Answers over time. N of them, each of a window; it counts for the time around the window's middle."""

    video: str
    labels: Labels
    logits: NDArray[np.float32]
    """(N, sum(classes))."""
    windows: NDArray[np.float64]
    """(N, 2) seconds: beginning and end of each window."""
    stretches: NDArray[np.int64]
    """(N,) the shot that each window is of, from 0; all the same where cuts are not respected."""
    cuts: tuple[float, ...] = ()
    """Seconds at which shots begin, but for the first; empty where cuts are not respected."""
    rules: Rules = field(default_factory=Rules)
    """How they become segments."""
    complete: bool = True
    """Whether the whole video was seen."""

    @property
    def duration_seconds(self) -> float:
        """Up to the end of the last window."""
        return float(self.windows[-1, 1]) if len(self.windows) else 0.0

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """(N, 2) seconds from which to which each answer counts: half-way to the middles of its neighbours."""
        edges = self.windows.copy()
        middles = self.windows.mean(axis=1)
        joined = np.flatnonzero(np.diff(self.stretches) == 0)
        edges[joined, 1] = edges[joined + 1, 0] = (middles[joined] + middles[joined + 1]) / 2
        return edges

    def probabilities(self, head: int | str = 0) -> NDArray[np.float32]:
        """(N, classes) probabilities of a head over time, smoothed as the rules say; numbers of a `number` head."""
        asked = self.labels.head(head)
        offset = sum(self.labels.classes[: self.labels.heads.index(asked)])
        logits = self.logits[:, offset : offset + len(asked.classes)]
        middles = self.windows.mean(axis=1)
        if self.rules.average == "logits":
            return asked.probabilities(
                torch.from_numpy(smoothed(logits, middles, self.stretches, self.rules))
            ).numpy()
        values = asked.probabilities(torch.from_numpy(np.ascontiguousarray(logits))).numpy()
        return smoothed(values, middles, self.stretches, self.rules)

    def segments(self, head: int | str | None = None) -> list[Segment]:
        """The segments of a head, or of all heads one after the other."""
        heads = self.labels.heads if head is None else (self.labels.head(head),)
        return [s for h in heads for s in segments_of(h, self.probabilities(h.name), self.edges, self.rules)]

    def at(self, seconds: float, head: int | str = 0) -> list[str]:
        """The labels that hold at a time: of a `single` head at most one, or "unknown" where its model says so."""
        asked = self.labels.head(head)
        found = [s.label for s in self.segments(head) if s.start_seconds <= seconds < s.end_seconds]
        return found or ([UNKNOWN_ANSWER] if asked.threshold is not None else [])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the segments, and what made them."""
        return {
            "video": self.video,
            "duration_seconds": round(self.duration_seconds, 3),
            "complete": self.complete,
            "windows": len(self.windows),
            "cuts": [round(cut, 3) for cut in self.cuts],
            "rules": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self.rules).items()},
            "heads": self.labels.to_dict(),
            "segments": [segment.to_dict() for segment in self.segments()],
        }


class Tracker:
    """Runs a classifier over a video, and holds what it said so far; see `timeline` for the arguments."""

    def __init__(
        self,
        classifier: Classifier,
        video: FrameSource,
        *,
        hop: int | None = None,
        window_seconds: float | None = None,
        respect_cuts: bool = False,
        batch_size: int = 8,
    ) -> None:
        origin = origin_of(video)
        if origin.live:
            raise ConfigError(
                f"{origin.name} has no end: a timeline is of a file; tubelet stream follows what is live."
            )
        if batch_size < 1:
            raise ConfigError(
                f"batch_size={batch_size}; at least one window goes through the model at a time."
            )
        self.engine = Engine(
            classifier,
            usual_hop(classifier) if hop is None else hop,
            window_seconds=window_seconds,
            name=origin.name,
            batch_size=batch_size,
        )
        self.name, self.labels = origin.name, classifier.labels
        self.cuts: list[float] = []
        self.origin = with_cuts(origin, self.cuts.append) if respect_cuts else origin
        self.seen_seconds = 0.0
        self.complete = False
        self._logits: list[NDArray[np.float32]] = []
        self._windows: list[tuple[float, float]] = []
        self._stretches: list[int] = []

    def run(self, progress: bool = False) -> None:
        """Go through the video. What ends it early leaves what was seen.

        Raises:
            DecodeError: where the video breaks off.
        """
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not progress,
        ) as bar:
            task = bar.add_task("Watching", total=announced_seconds(self.name), speed="")
            begun = time.monotonic()
            reader = Reader(self.origin, self.engine.windows, Pace(keep_up=False))
            reader.start()
            try:
                while batch := take(reader, self.engine.batch_size):
                    self._logits.append(self.engine.logits(batch).numpy())
                    self._windows += [(w.start_seconds, w.end_seconds) for w in batch]
                    self._stretches += [w.stretch for w in batch]
                    self.seen_seconds = batch[-1].end_seconds
                    speed = self.seen_seconds / max(time.monotonic() - begun, 1e-9)
                    bar.update(task, completed=self.seen_seconds, speed=f"{speed:.1f} x real time")
                self.complete = True
            finally:
                reader.stop()

    def timeline(self, rules: Rules | None = None) -> Timeline:
        """Of what was seen."""
        width = sum(self.labels.classes)
        return Timeline(
            video=self.name,
            labels=self.labels,
            logits=np.concatenate([np.zeros((0, width), np.float32), *self._logits]),
            windows=np.array(self._windows, dtype=np.float64).reshape(-1, 2),
            stretches=np.array(self._stretches, dtype=np.int64),
            cuts=tuple(self.cuts),
            rules=rules or Rules(),
            complete=self.complete,
        )


def timeline(
    classifier: Classifier,
    video: FrameSource,
    rules: Rules | None = None,
    *,
    hop: int | None = None,
    window_seconds: float | None = None,
    respect_cuts: bool = False,
    batch_size: int = 8,
    progress: bool = False,
) -> Timeline:
    """What happens when in a video of any length.

    The video is decoded once, in order; what is held of it are a few windows, and of the answers 4 bytes for each
    class of each window. In Model 2 each tubelet is encoded once, however much windows overlap.

    Args:
        classifier: the model, how it looks at a video, and what its outputs mean.
        video: a file, a folder of images, or frames of one's own with their seconds.
        rules: smoothing, thresholds and durations; `dataclasses.replace(found, rules=...)` applies others without
            another run.
        hop: from one window to the next, in frames of a clip. None: the view's, or else a quarter of a window.
        window_seconds: the time that a window spans, in place of the view's stride or rate. A view that spreads its
            frames over the whole video needs it.
        respect_cuts: find hard cuts; no window, and no smoothing, reaches over one. A shot shorter than a window is
            filled up as the view's `short` says; with `"refuse"` it has no answer.
        batch_size: most windows to put through the model at a time.
        progress: show a progress bar on standard error.

    Raises:
        DecodeError: if the video cannot be read to its end.
        ConfigError: for settings that cannot be, or a source that has no end.
    """
    tracker = Tracker(
        classifier, video, hop=hop, window_seconds=window_seconds, respect_cuts=respect_cuts, batch_size=batch_size
    )  # fmt: skip
    tracker.run(progress)
    return tracker.timeline(rules)


def usual_hop(classifier: Classifier) -> int:
    """From one window to the next in frames of a clip: the view's own, or else a quarter of a window."""
    view, tubelet = classifier.view, classifier.model.config.tubelet[0]
    return view.hop or max(view.frames // WINDOW_PARTS // tubelet, 1) * tubelet


def take(reader: Reader, count: int) -> list[ArrivedWindow]:
    """The next windows, fewer only at the end."""
    batch: list[ArrivedWindow] = []
    while len(batch) < count and (arrival := reader.take()) is not None:
        batch.append(arrival.window)
    return batch


def announced_seconds(name: str) -> float | None:
    """How long a file says it is, for a progress bar."""
    if not Path(name).is_file():
        return None
    with open_video(Path(name))[0] as container:
        return container.duration / 1e6 if container.duration else None
