"""Which videos a person should look at: the surest mistakes of a head, and the least sure of its right answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tubelet.evaluation.page.text import share
from tubelet.evaluation.results import Results, VideoResult
from tubelet.labels import Head


@dataclass(frozen=True, kw_only=True)
class Example:
    """One video, and what was said of it."""

    row: VideoResult
    said: str
    """The answer."""
    right: str
    """What it should have been."""
    measured: str
    """How sure the answer was, or how far off: see `Gallery.measure`."""
    wrong: bool = True
    """Whether it is a mistake."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Examples of one kind."""

    title: str
    total: int
    """How many videos of the kind there are."""
    measure: str = "Sure"
    """What is measured of each."""
    examples: tuple[Example, ...]
    """The first of them."""


def galleries(results: Results, number: int, count: int) -> list[Gallery]:
    """What to look at of a head.

    Args:
        results: of the evaluation.
        number: of the head.
        count: most examples of a kind.
    """
    head = results.labels.heads[number]
    said = results.labels.split(results.logits())[head.name]
    right = results.labels.split(results.targets())[head.name]
    known = ~right.isnan().any(dim=1)
    rows = [row for row, labelled in zip(results.answered, known.tolist(), strict=True) if labelled]
    said, right = said[known], right[known]
    if head.kind == "multi":
        return [of_multi(head, rows, said, right, count)]
    if head.kind == "number":
        return [of_numbers(head, rows, said, right, count)]
    return of_single(head, rows, said, right, count)


def of_single(
    head: Head, rows: Sequence[VideoResult], logits: Tensor, target: Tensor, count: int
) -> list[Gallery]:
    """The surest mistakes and the least sure right answers: logits and targets (0 or 1) `(N, classes)`."""
    if not rows:
        return []
    confidence, answer = head.probabilities(logits).max(dim=1)
    held = target.argmax(dim=1)
    wrong = answer != held

    def gallery(title: str, places: Tensor, descending: bool) -> Gallery:
        order = places[confidence[places].argsort(descending=descending, stable=True)]
        found = [
            Example(
                row=rows[i],
                said=head.classes[int(answer[i])],
                right=head.classes[int(held[i])],
                measured=share(float(confidence[i])),
                wrong=bool(wrong[i]),
            )
            for i in order[:count].tolist()
        ]
        return Gallery(title=title, total=len(places), examples=tuple(found))

    return [
        gallery("Surest mistakes", wrong.nonzero()[:, 0], descending=True),
        gallery("Least sure right answers", (~wrong).nonzero()[:, 0], descending=False),
    ]


def of_multi(head: Head, rows: Sequence[VideoResult], logits: Tensor, target: Tensor, count: int) -> Gallery:
    """The videos with the class whose probability is farthest from the truth."""
    probabilities = head.probabilities(logits)
    found: list[Example] = []
    worst, which = (probabilities - target).abs().max(dim=1) if rows else (torch.empty(0), torch.empty(0))
    mistakes = int((worst > 0.5).sum())
    for i in worst.argsort(descending=True, stable=True)[: min(count, mistakes)].tolist():
        place = int(which[i])
        holds = bool(target[i, place])
        names = [name for name, held in zip(head.classes, target[i].tolist(), strict=True) if held]
        found.append(
            Example(
                row=rows[i],
                said=f"{'not ' if holds else ''}{head.classes[place]}",
                right=", ".join(names) or "none of the classes",
                measured=share(float(worst[i])),
            )
        )
    return Gallery(title="Surest mistakes", total=mistakes, examples=tuple(found))


def of_numbers(head: Head, rows: Sequence[VideoResult], said: Tensor, right: Tensor, count: int) -> Gallery:
    """The videos with the largest errors, of outputs as far as they vary: numbers `(N, outputs)`."""
    off = (said - right).abs()
    spread = right.std(dim=0, correction=0).clamp(min=1e-12) if rows else torch.ones(right.shape[1])
    worst, which = (off / spread).max(dim=1) if rows else (torch.empty(0), torch.empty(0))
    found: list[Example] = []
    for i in worst.argsort(descending=True, stable=True)[:count].tolist():
        place = int(which[i])
        name = f"{head.classes[place]} " if len(head.classes) > 1 else ""
        found.append(
            Example(
                row=rows[i],
                said=f"{name}{float(said[i, place]):.4g}",
                right=f"{name}{float(right[i, place]):.4g}",
                measured=f"{float(off[i, place]):.4g}",
            )
        )
    return Gallery(title="Largest errors", measure="Off by", total=len(rows), examples=tuple(found))
