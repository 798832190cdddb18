"""`explain`: where a model looked in a video and which moments decided, for one of its answers.

Axis letters: F frames, C channels, T H W the grid of tubelets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tubelet.classifier import Classifier
from tubelet.errors import ConfigError
from tubelet.explanation.maps import gradient_map, rollout
from tubelet.explanation.trace import trace
from tubelet.labels import Head, Labels
from tubelet.prediction import Source, name_of, opened

Method = Literal["gradient", "rollout"]
"""`gradient`: what the class depends on; `rollout`: what the model looks at, whatever the class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why a model gives one class its probability in one clip."""

    video: str
    head: str
    label: str
    """The class that is explained."""
    probability: float
    """Of the class; the output itself where the head is one of numbers."""
    method: Method
    map: Tensor
    """`(T, H, W)` shares of the relevance, not negative, with the sum 1; all 0 where the class depends on nothing."""
    moments: Tensor
    """`(T,)`: by how much the log-odds of the class (the output of a head of numbers) fall when the frames of this
    tubelet are not seen, but the frame next to them stands still instead. Negative: they speak against it."""
    frames: Tensor
    """uint8 `(F, C, h, w)`: the clip as the model sees it."""
    indices: NDArray[np.int64]
    """`(F,)`: the frames' places in the video."""
    seconds: NDArray[np.float64]
    """`(F,)`: when they appear in the video."""

    def heat(self) -> Tensor:
        """The map at the size of the frames, `(F, h, w)`, the largest value 1."""
        count, _, height, width = self.frames.shape
        whole = F.interpolate(self.map[None, None], (len(self.map), height, width), mode="trilinear")[0, 0]
        groups = torch.arange(count).mul(len(self.map)).div(count, rounding_mode="floor")
        return whole[groups] / whole.max().clamp(min=1e-30)

    def tubelet_seconds(self) -> list[tuple[float, float]]:
        """When the frames of each tubelet in time appear: the first and the last of them."""
        parts = np.array_split(self.seconds, len(self.map))
        return [(float(part[0]), float(part[-1])) for part in parts]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: all but the pixels."""
        return {
            "video": self.video,
            "head": self.head,
            "label": self.label,
            "probability": self.probability,
            "method": self.method,
            "moments": self.moments.tolist(),
            "moment_seconds": self.tubelet_seconds(),
            "map": self.map.tolist(),
            "frames": self.indices.tolist(),
            "seconds": self.seconds.tolist(),
        }

    def save_arrays(self, file: Path) -> None:
        """Write `map`, `moments`, `frames`, `indices` and `seconds` as an NPZ file.

        Raises:
            FileExistsError: if it is there; it is not overwritten.
        """
        with file.open("xb") as target:
            np.savez_compressed(
                target,
                map=self.map.numpy(),
                moments=self.moments.numpy(),
                frames=self.frames.numpy(),
                indices=self.indices,
                seconds=self.seconds,
            )


def explain(
    classifier: Classifier,
    video: Source,
    label: str | None = None,
    *,
    head: int | str = 0,
    method: Method = "gradient",
    batch_size: int = 4,
) -> Explanation:
    """Why a model gives a class its probability: a map over tubelets, and the weight of each moment.

    The clip in the middle of the video is explained, in its centre crop: one view. Give an open
    `Video(file, start_seconds=..., end_seconds=...)` for another part.

    Args:
        classifier: any of the four models.
        video: what `Classifier.predict` takes.
        label: the class to explain. None: the most probable one.
        head: of which head, by its place or name.
        method: `gradient` for what the class depends on, `rollout` for what the model looks at, whatever the class.
        batch_size: most clips to put through the model at a time when moments are left out.

    Raises:
        DecodeError: if the video cannot be read.
        ConfigError: for a class, head or method that there is not.
    """
    check(classifier, label, head, method)
    with opened(video) as frames:
        shown = classifier.view.test_uint8(frames, "1x1")
        indices = shown.indices[0]
        seen = Seen(name_of(video), shown.pixels[0], indices, frames.timestamps[indices])
    return explain_clip(classifier, seen, label, head=head, method=method, batch_size=batch_size)


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip as a view shows it, before the value step."""

    video: str
    frames: Tensor
    """uint8 `(F, C, h, w)`."""
    indices: NDArray[np.int64]
    """`(F,)`: the frames' places in the video."""
    seconds: NDArray[np.float64]
    """`(F,)`: when they appear in the video."""


def check(classifier: Classifier, label: str | None, head: int | str, method: Method) -> None:
    """Refuse what cannot be explained, before any video is read.

    Raises:
        ConfigError: as for `explain`.
    """
    if classifier.model.fewer_tokens is not None:
        raise ConfigError(
            "This classifier answers from fewer tokens, which have no place of their own: explain the one it was "
            "made from."
        )
    asked, _ = chosen_head(classifier.labels, head)
    if method not in get_args(Method):
        raise ConfigError(f"method={method!r}: it is gradient or rollout.")
    if label is not None and label not in asked.classes:
        raise ConfigError(
            f"The head {asked.name!r} has no class {label!r}. It has: {', '.join(asked.classes)}."
        )


def explain_clip(
    classifier: Classifier,
    seen: Seen,
    label: str | None = None,
    *,
    head: int | str = 0,
    method: Method = "gradient",
    batch_size: int = 4,
) -> Explanation:
    """As `explain`, of a clip that somebody else has read; arguments and errors as there."""
    check(classifier, label, head, method)
    asked, offset = chosen_head(classifier.labels, head)
    clip = classifier.view.normalise(seen.frames[None]).to(classifier.device, classifier.dtype)
    own = slice(offset, offset + len(asked.classes))
    given = None if label is None else asked.classes.index(label)

    def chosen(logits: Tensor) -> int:
        return int(logits[0, own].argmax()) if given is None else given

    traced = trace(classifier.model, clip, lambda logits: evidence(asked, logits[:, own], chosen(logits)))
    place = chosen(traced.logits)
    relevance = (gradient_map if method == "gradient" else rollout)(traced)[0].float().cpu()
    whole = traced.logits[0, own].float().cpu()
    without = classifier.run(held_still(clip[0], len(relevance)), batch_size)[:, own]
    return Explanation(
        video=seen.video,
        head=asked.name,
        label=asked.classes[place],
        probability=float(asked.probabilities(whole)[place]),
        method=method,
        map=relevance,
        moments=evidence(asked, whole, place) - evidence(asked, without, place),
        frames=seen.frames,
        indices=seen.indices,
        seconds=seen.seconds,
    )


def chosen_head(labels: Labels, head: int | str) -> tuple[Head, int]:
    """A head, and where its logits begin.

    Raises:
        ConfigError: if there is none.
    """
    names = [h.name for h in labels.heads]
    place = head if isinstance(head, int) else names.index(head) if head in names else -1
    if not 0 <= place < len(names):
        raise ConfigError(f"There is no head {head!r}. There are: {', '.join(names)}.")
    return labels.heads[place], sum(labels.classes[:place])


def held_still(clip: Tensor, tubelets: int) -> Tensor:
    """Copies of a clip `(F, C, H, W)` without one moment each: `(tubelets, F, C, H, W)`.

    In the t-th the frames of the t-th tubelet are the frame before them; in the first one the frame after them.
    """
    groups = torch.arange(len(clip)).tensor_split(tubelets)
    if tubelets == 1:
        return clip.mean(dim=0, keepdim=True).expand_as(clip)[None]  # there is no other moment
    copies: list[Tensor] = []
    for group in groups:
        copy = clip.clone()
        copy[group] = clip[group[0] - 1] if group[0] > 0 else clip[group[-1] + 1]
        copies.append(copy)
    return torch.stack(copies)


def evidence(head: Head, logits: Tensor, place: int) -> Tensor:
    """Log-odds of a class from the logits `(..., classes)` of its head; of a number the number itself."""
    if head.kind != "single" or len(head.classes) == 1:
        return logits[..., place]
    others = torch.cat((logits[..., :place], logits[..., place + 1 :]), dim=-1)
    return logits[..., place] - others.logsumexp(dim=-1)
