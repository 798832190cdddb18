"""Whether an exported file answers as the model that it was made from, and if not, from which block on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.engines.description import SUFFIXES, Description
from tubelet.engines.run import Run, open_exported
from tubelet.errors import ConfigError, WeightsError
from tubelet.exporting.formats import write_exported
from tubelet.exporting.graph import example_of
from tubelet.prediction import Source, name_of, opened

TOLERANCE: dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "int8": 0.1}
"""How far logits may be from those of PyTorch in float32, as a share of the largest."""
MOST_WINDOWS = 8
"""Of a video, where the model answers for each of its windows."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near the answers of an exported file are to those of PyTorch in float32."""

    clips: int
    real: bool
    """Whether they were of videos, and not of random pixels."""
    difference: float
    """The largest of any logit, as a share of the largest logit."""
    tolerance: float
    top1: float
    """The share of best answers, of all clips and heads, that are the same."""

    @property
    def holds(self) -> bool:
        """Whether they are near enough. What is no number is not."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        """A sentence."""
        return (
            f"Largest difference {self.difference:.1e} of the largest logit (allowed: {self.tolerance:g}), "
            f"best answers the same: {self.top1:.1%}, of {self.clips} "
            f"{'clips of videos' if self.real else 'random clips, not of videos'}."
        )


def clips_to_check(classifier: Classifier, videos: Sequence[Source], description: Description) -> Tensor:
    """Clips of videos as the file takes them, or random ones where there are no videos.

    Raises:
        DecodeError: if a video cannot be read.
        ConfigError: if the view makes clips of another shape of one.
    """
    if not videos:
        return example_of(description, clips=3)
    found: list[Tensor] = []
    for source in videos:
        with opened(source) as video:
            if classifier.view.answers == "window":
                windows = zip(range(MOST_WINDOWS), classifier.view.windows(video), strict=False)
                pixels = torch.stack([window.pixels for _, window in windows])
            else:
                pixels = classifier.view.test(video).pixels
        if tuple(pixels.shape[1:]) != description.clip_shape:
            raise ConfigError(
                f"The view makes clips of {tuple(pixels.shape[1:])} of {name_of(source)}, and an exported file takes "
                f"{description.clip_shape} only: choose a view that crops."
            )
        found.append(pixels)
    values = torch.cat(found)
    if not description.with_preprocessing:
        return values
    from tubelet.engines.model import levels_of

    return levels_of(classifier.view, values)


def agreement(
    classifier: Classifier, description: Description, run: Run, clips: Tensor, real: bool
) -> Agreement:
    """Run clips through both, one at a time and the first two together: the batch is to be free."""
    ours = torch.cat([reference(classifier, description, clip[None])[0] for clip in clips])
    theirs = torch.cat([run(clip[None])[0] for clip in clips])
    together = run(clips[:2])[0]
    gap = torch.cat(((theirs - ours).abs(), (together - ours[:2]).abs()))
    pairs = zip(classifier.labels.split(ours).values(), classifier.labels.split(theirs).values(), strict=True)
    same = torch.stack([a.argmax(dim=-1) == b.argmax(dim=-1) for a, b in pairs])
    return Agreement(
        clips=len(clips),
        real=real,
        difference=share(gap, ours),
        tolerance=TOLERANCE[description.dtype],
        top1=float(same.float().mean()),
    )


@torch.inference_mode()
def reference(
    classifier: Classifier, description: Description, clips: Tensor, with_blocks: bool = False
) -> list[Tensor]:
    """What PyTorch answers in float32, to clips as the file takes them."""
    from tubelet.exporting.graph import Graph

    view = description.view if description.with_preprocessing else None
    return list(Graph(classifier.model, view, with_blocks)(clips))


def share(gap: Tensor, whole: Tensor) -> float:
    """The largest of a difference as a share of the largest value; infinite where one is no number."""
    found = float(gap.abs().max() / whole.abs().max().clamp(min=1e-12))
    return found if found == found else float("inf")


def where_it_drifts(classifier: Classifier, description: Description, clip: Tensor) -> str:
    """From which block on an exported file is away from PyTorch, as a clause.

    The model is exported once more, in the same way, with what each block makes as outputs (and so with all tokens
    of the last block, of which the file has one where the first alone is read).

    Args:
        classifier: in float32.
        description: of the file.
        clip: one, as the file takes it, `(1, F, C, H, W)`.
    """
    ours = reference(classifier, description, clip, with_blocks=True)
    with TemporaryDirectory(prefix="tubelet-export-") as scratch:
        file = Path(scratch, "blocks").with_suffix(SUFFIXES[description.format])
        write_exported(classifier, description, file, with_blocks=True)
        theirs = open_exported(file, trust=True)[1](clip)
    gaps = [share(b - a, a) for a, b in zip(ours, theirs, strict=True)]
    allowed = TOLERANCE[description.dtype]
    before = 0.0
    for name, gap in zip(places_of(classifier), [*gaps[1:], gaps[0]], strict=True):
        if not gap <= allowed:
            return f"it drifts from {name} on: {gap:.1e} of the largest value there, {before:.1e} at the place before"
        before = gap
    return (
        f"each block alone stays within {allowed:g} when blocks are given out, so a fusion of several drifts"
    )


def places_of(classifier: Classifier) -> list[str]:
    """What `record` keeps hidden states of, in its order, and the head."""
    model = classifier.model
    names: list[str] = []
    for kind in ("encoder", "spatial", "temporal"):
        encoder = getattr(model, kind)
        if encoder is not None:
            word = "" if kind == "encoder" else f"{kind} "
            names.append(f"the tokens before the first {word}block")
            names += [f"{word}block {i} of {len(encoder.blocks)}" for i in range(1, len(encoder.blocks) + 1)]
    return [*names, "the head"]


def refuse_drift(classifier: Classifier, description: Description, found: Agreement, clip: Tensor) -> None:
    """Say of a file that does not agree where it begins.

    Raises:
        WeightsError: in every case.
    """
    try:
        where = where_it_drifts(classifier, description, clip)
    except (
        Exception
    ) as error:  # an exporter may raise anything; that the file does not agree is to be said still
        where = f"where it begins could not be found ({type(error).__name__}: {error})"
    raise WeightsError(
        f"The {description.format} file in {description.dtype} does not answer as the model does, so it is not kept. "
        f"{found} By block, {where}."
    )
