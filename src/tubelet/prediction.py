"""`Prediction`: what a model says of a video; `Failure`: why it says nothing; `Look`: what it is shown of it."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import TubeletError
from tubelet.labels import UNKNOWN_ANSWER, Labels
from tubelet.video.decode import Video

Source = str | Path | bytes | Video
"""A video: a file or a folder of images, the bytes of a file, or one that is open."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one video.

    `logits` `(sum(classes),)` are the mean over the views, as officially tested, or the logits of their mean
    probabilities; `indices` are the frames
    seen, `(clips, frames)`. A model that answers for each window of time fills `windows`, one prediction for
    each with its `start_seconds` and `end_seconds`, and `logits` is the mean over them.
    """

    video: str
    labels: Labels
    logits: Tensor
    indices: Tensor
    start_seconds: float = 0.0
    end_seconds: float | None = None
    windows: tuple["Prediction", ...] = ()

    def probabilities(self, head: int | str = 0) -> Tensor:
        """Probabilities of a head's classes: `(classes,)`."""
        name = self.labels.head(head).name
        return self.labels.probabilities(self.logits)[name]

    def top(self, k: int = 5, head: int | str = 0) -> list[tuple[str, float]]:
        """The k best answers of a head with their probabilities, best first.

        Where the best class does not reach the head's threshold, "unknown" stands before it, with the probability
        that is not the best class's.
        """
        asked = self.labels.head(head)
        best = self.probabilities(head).topk(min(k, len(asked.classes)))
        pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        answers = [(asked.classes[i], p) for p, i in pairs]
        if answers and asked.threshold is not None and answers[0][1] < asked.threshold:
            answers.insert(0, (UNKNOWN_ANSWER, 1 - answers[0][1]))
        return answers[:k]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain values, ready for JSON: the k best of each head; of each window too, where there are windows."""
        times = {"start_seconds": self.start_seconds, "end_seconds": self.end_seconds}
        heads = {
            h.name: [{"label": n, "probability": p} for n, p in self.top(k, h.name)]
            for h in self.labels.heads
        }
        values: dict[str, Any] = {"video": self.video, **times, "heads": heads}
        if self.windows:
            values["windows"] = [w.to_dict(k) for w in self.windows]
        return values


def of_windows(windows: Sequence[Prediction]) -> Prediction:
    """What is said of a video by a prediction for each window of it."""
    first, last = windows[0], windows[-1]
    mean = torch.stack([p.logits for p in windows]).mean(dim=0)
    indices = torch.cat([p.indices for p in windows])
    return Prediction(first.video, first.labels, mean, indices, 0.0, last.end_seconds, tuple(windows))


@dataclass(frozen=True)
class Failure:
    """A video that could not be predicted, and why."""

    video: str
    error: TubeletError


@dataclass(frozen=True)
class Look:
    """What is to be shown to the model of one video: uint8 clips `(V, F, C, H, W)`, and the frames in them."""

    name: str
    pixels: Tensor
    indices: Tensor
    duration_seconds: float


def name_of(source: Source) -> str:
    """What messages call a video."""
    return (
        source.name
        if isinstance(source, Video)
        else "a video in memory"
        if isinstance(source, bytes)
        else str(source)
    )


@contextmanager
def opened(source: Source) -> Generator[Video]:
    """A video to read from; what was opened here is closed here."""
    if isinstance(source, Video):
        yield source
    else:
        with Video(source) as video:
            yield video


def clips_of(looks: Iterable[Look | Failure]) -> int:
    """How many clips there are in some looks."""
    return sum(len(look.pixels) for look in looks if isinstance(look, Look))


def shape_of(looks: Iterable[Look | Failure]) -> torch.Size | None:
    """The shape of the clips in looks that are all alike."""
    return next((look.pixels.shape[1:] for look in looks if isinstance(look, Look)), None)
