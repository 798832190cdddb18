"""`Engine`: frames in, one by one; answers out, one every hop. In Model 2 each tubelet is encoded once.

Letters: W windows, F frames of a window, T tubelets in time of a window, t frames of a tubelet, N tubelets, D width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.engines.model import EngineModel
from tubelet.errors import ConfigError
from tubelet.models.vivit import ViViT
from tubelet.prediction import Prediction
from tubelet.streaming.windows import ArrivedWindow, Picture, Windows
from tubelet.video.view import View

ENCODED_TOGETHER = 16
"""Tubelets at a time: the first window is nothing but new ones."""


class Engine:
    """A classifier at work on a video that arrives frame by frame.

    Model 2, the factorised encoder, sees each moment by itself before its temporal encoder sees the moments: what the
    spatial encoder says of a tubelet is the same in every window. It is kept, and only the new tubelets and the
    temporal encoder are run for each answer. This holds with `centre_frames` too, which takes the mean off these
    vectors, and whatever the tubelet embedding started from. In Models 1, 3 and 4 every tubelet sees all others, and
    with `sampled_frames` the tubelets of a window are not those of the next, and with `Classifier.with_fewer_tokens`
    what is computed of a tubelet depends on the others: these run whole for each window.

    Args:
        classifier: weights, view and labels.
        hop: from one answer to the next, in frames of a clip. None: the view's, or else one tubelet. Answers of
            Model 2 cost least where the frames of a tubelet divide it.
        window_seconds: the time that a window spans, in place of the view's stride or rate. A view that spreads its
            frames uniformly over a video needs it.
        batch_size: most windows to put through the model at a time.
        name: what predictions call the video.

    Raises:
        ConfigError: for a hop or a time that cannot be, or a uniform view without `window_seconds`.
    """

    def __init__(
        self,
        classifier: Classifier,
        hop: int | None = None,
        *,
        window_seconds: float | None = None,
        batch_size: int = 8,
        name: str = "stream",
    ) -> None:
        self.classifier = classifier
        self.view = spread_over(classifier.view, window_seconds)
        usual = self.view.hop or classifier.model.config.tubelet[0]
        self.hop = usual if hop is None else hop
        self.windows = Windows(self.view, self.hop)
        self.batch_size = batch_size
        self.name = name
        self.whole_because = why_whole(classifier.model)
        self._vectors: dict[tuple[int, ...], Tensor] = {}

    def see(self, picture: Picture, seconds: float, *, lost: int = 0, cut: bool = False) -> list[Prediction]:
        """The answers that a frame makes possible; takes and raises what `Windows.see` does."""
        return self.answers(self.windows.see(picture, seconds, lost=lost, cut=cut))

    def finish(self) -> list[Prediction]:
        """The last answer, where frames are left that none has seen; see `Windows.end`. Then all may begin anew."""
        return self.answers(self.windows.end())

    def answers(self, windows: Sequence[ArrivedWindow]) -> list[Prediction]:
        """What the model says of windows, which come in their order; some may be left out."""
        found: list[Prediction] = []
        for first in range(0, len(windows), self.batch_size):
            batch = windows[first : first + self.batch_size]
            found += [self._prediction(*pair) for pair in zip(batch, self.logits(batch), strict=True)]
        return found

    @torch.inference_mode()
    def logits(self, windows: Sequence[ArrivedWindow]) -> Tensor:
        """float32 (W, sum(classes)) on the CPU."""
        model = self.classifier.model
        if self.whole_because is not None:
            logits = model(self._values([w.pixels for w in windows]))
        else:
            self._encode(windows)
            tubelets = [torch.stack([self._vectors[key] for key in self._keys(w)]) for w in windows]
            logits = model.head(model.features_of_frames(torch.stack(tubelets)))
            # Windows come in their order: what begins before this one is in none that follows.
            oldest = windows[-1].numbers[0]
            self._vectors = {key: v for key, v in self._vectors.items() if key[0] >= oldest}
        return logits.float().cpu()

    def _encode(self, windows: Sequence[ArrivedWindow]) -> None:
        """Run the spatial encoder on the tubelets that it has not seen."""
        fresh: dict[tuple[int, ...], tuple[Tensor, ...]] = {}
        t = self.classifier.model.config.tubelet[0]
        for window in windows:
            for place, key in enumerate(self._keys(window)):
                if key not in self._vectors:
                    fresh[key] = window.pixels[place * t : (place + 1) * t]
        keys = list(fresh)
        for first in range(0, len(keys), ENCODED_TOGETHER):
            chunk = keys[first : first + ENCODED_TOGETHER]
            values = self._values(
                [fresh[key] for key in chunk]
            )  # (N, t, C, H, W): each a clip of one tubelet
            self._vectors.update(zip(chunk, self.classifier.model.frame_vectors(values)[:, 0], strict=True))

    def _keys(self, window: ArrivedWindow) -> list[tuple[int, ...]]:
        """By which its T tubelets are known: the numbers of their frames."""
        t = self.classifier.model.config.tubelet[0]
        return [window.numbers[i : i + t] for i in range(0, len(window.numbers), t)]

    def _values(self, clips: Sequence[Sequence[Tensor]]) -> Tensor:
        """The value step, where the model computes."""
        pixels = torch.stack([torch.stack(list(clip)) for clip in clips]).to(self.classifier.device)
        # Not the classifier's dtype: of int8 blocks the pixels are float32.
        return self.view.normalise(pixels).to(self.classifier.model.dtype)

    def _prediction(self, window: ArrivedWindow, logits: Tensor) -> Prediction:
        indices = torch.tensor(window.numbers)[None]
        labels = self.classifier.labels
        return Prediction(self.name, labels, logits, indices, window.start_seconds, window.end_seconds)


def why_whole(model: ViViT) -> str | None:
    """Why a model must look at each window as a whole, as a sentence; None where tubelets are encoded once."""
    if isinstance(model, EngineModel):
        reason = "an exported file holds one graph, from clips to answers"
    elif model.config.attention != "factorised_encoder":
        reason = f"with attention {model.config.attention!r} every tubelet sees all others"
    elif model.config.sampled_frames is not None:
        reason = "with sampled_frames each window has tubelets of its own"
    elif model.fewer_tokens is not None:
        reason = "which tokens are computed depends on the whole window"
    else:
        return None
    return f"Each window is run as a whole: {reason}."


def spread_over(view: View, seconds: float | None) -> View:
    """The view with its frames spread over this time.

    Raises:
        ConfigError: for a time that is not above 0.
    """
    if seconds is None:
        return view
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"window_seconds={seconds}; it must be a number above 0.")
    return replace(view, stride=None, uniform=False, trim=0.0, frames_per_second=view.frames / seconds)
