"""`stream`: answers to what is happening now, from any source, with a bounded delay."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from tubelet.classifier import Classifier
from tubelet.errors import ConfigError
from tubelet.prediction import Prediction
from tubelet.streaming.engine import Engine
from tubelet.streaming.reader import Reader
from tubelet.streaming.sources import FrameSource, Origin, Pace, Raw, origin_of


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of the newest window of a stream."""

    prediction: Prediction
    """With the window's `start_seconds` and `end_seconds` from the first frame on, and the numbers of its frames."""
    latency_seconds: float
    """From the arrival of the window's last frame to this answer."""
    skipped_answers: int = 0
    """Windows since the answer before this for which there was no time."""
    skipped_frames: int = 0
    """Frames since then that are in no answered window: for lack of time, or because they never arrived whole."""

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain values, ready for JSON: those of the prediction with the k best of each head, and the delay."""
        own = {
            "latency_seconds": round(self.latency_seconds, 4),
            "skipped_answers": self.skipped_answers,
            "skipped_frames": self.skipped_frames,
        }
        values = self.prediction.to_dict(k)
        heads = values.pop("heads")
        return {**values, **own, "heads": heads}


def stream(
    classifier: Classifier,
    source: FrameSource,
    *,
    hop: int | None = None,
    window_seconds: float | None = None,
    realtime: bool = False,
    keep_up: bool | None = None,
    retries: int = 0,
    timeout_seconds: float = 10.0,
    raw: Raw | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Answer]:
    """Answers to a video while it arrives, one every hop, of the newest window there is.

    A thread reads, decodes and prepares frames; the model runs where the answers are asked for. Where that is slower
    than a live source, whole answers are skipped, and the next is of the newest window: what waits is one window,
    however long it takes. The frames of a window always follow one another as the view says. In Model 2 each tubelet
    is encoded once (see `Engine`).

    Args:
        classifier: the model, how it looks at a video, and what its outputs mean.
        source: a file or a folder of images; `"webcam"`, `"webcam:1"` or `"/dev/video1"`; the URL of a network
            stream; `"-"` for standard input; or frames of one's own, uint8 (3, H, W) with the seconds at which they
            appear.
        hop: from one answer to the next, in frames of a clip. None: the view's, or else one tubelet.
        window_seconds: the time that a window spans, in place of the view's stride or rate.
        realtime: play a file, or frames of one's own, at their own speed, as a camera would.
        keep_up: skip answers for which there is no time. None: of what is live or played in real time.
        retries: how often to open a device or a network stream again that breaks or ends, one after the other, with
            growing pauses. The times go on, and no window reaches over the gap.
        timeout_seconds: a device or a network stream that gives nothing for so long is broken.
        raw: standard input holds frames without a container.
        stdin: read in place of standard input.

    Yields:
        Answers, in the order of time. Reading ends where the iterator is closed.

    Raises:
        DecodeError: if the source cannot be opened, or breaks, after the answers before it.
        ConfigError: for settings that cannot be, or a view that cannot show such frames.
    """
    origin = origin_of(source, raw=raw, timeout_seconds=timeout_seconds, stdin=stdin)
    check(origin, retries, realtime)
    engine = Engine(classifier, hop, window_seconds=window_seconds, name=origin.name)
    pace = Pace(keep_up=origin.live or realtime if keep_up is None else keep_up, realtime=realtime)
    return answers(engine, Reader(origin, engine.windows, pace, retries))


def check(origin: Origin, retries: int, realtime: bool) -> None:
    """Refuse settings without effect."""
    if retries < 0:
        raise ConfigError(f"retries={retries}: open a source again never (0) or more often.")
    if retries and not (origin.live and origin.again):
        raise ConfigError(f"retries={retries} is for devices and network streams, and not for {origin.name}.")
    if realtime and origin.live:
        raise ConfigError(f"realtime is for files: {origin.name} has its own speed.")


def answers(engine: Engine, reader: Reader) -> Iterator[Answer]:
    """Start a reader, and answer its windows until it ends."""
    reader.start()
    try:
        while (arrival := reader.take()) is not None:
            (prediction,) = engine.answers([arrival.window])
            yield Answer(
                prediction=prediction,
                latency_seconds=time.monotonic() - arrival.arrived,
                skipped_answers=arrival.skipped_answers,
                skipped_frames=arrival.skipped_frames,
            )
    finally:
        reader.stop()
