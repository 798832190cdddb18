"""Which probability must the best class reach, so that an answer is worth giving? Chosen on validation data."""

import torch
from torch import Tensor

from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.metrics import Selective, select
from tubelet.evaluation.results import Results


def choose_threshold(
    results: Results, head: str | int = 0, *, accuracy: float | None = None, coverage: float | None = None
) -> Selective:
    """The threshold of a `single` head that keeps a promise on the videos of some results.

    Selective classification by the probability of the best class (Geifman and El-Yaniv 2017, arXiv 1705.08500). What
    it promises holds for data like these; choose it on validation data, and look what it does on test data.

    Args:
        results: of an evaluation, on videos that were not trained on.
        head: the head, by name or place.
        accuracy: answer as many videos as can be so that at least this share of the answers is right.
        coverage: answer at least this share of the videos, those with the most probable best class.

    Returns:
        The threshold, and what it does to these videos.

    Raises:
        ConfigError: unless exactly one of `accuracy` and `coverage` is given, as a share, for a `single` head.
        DataError: if no video has a label for the head, or no threshold reaches the accuracy.
    """
    asked = results.labels.head(head)
    if asked.kind != "single":
        raise ConfigError(f"The head {asked.name!r} is {asked.kind}: only single heads answer 'unknown'.")
    goals = [goal for goal in (accuracy, coverage) if goal is not None]
    if len(goals) != 1 or not 0 < goals[0] <= 1:
        raise ConfigError(
            f"accuracy={accuracy}, coverage={coverage}: give exactly one of them, a share above 0 and up to 1."
        )
    number = results.labels.heads.index(asked)
    target = results.classes()[:, number]
    known = target != UNKNOWN
    logits, target = results.labels.split(results.logits())[asked.name][known], target[known]
    if not len(target):
        raise DataError(f"No video of these results has a label for the head {asked.name!r}.")
    # Videos by their confidence, the most confident first: a threshold answers the first n of them, ties together.
    confidence, answer = logits.softmax(dim=-1).max(dim=1)
    order = confidence.argsort(descending=True, stable=True)
    confidence, right = confidence[order], (answer == target)[order].double()
    last_of_ties = torch.cat([confidence[1:] != confidence[:-1], torch.tensor([True])])
    reached = covers(len(target), goals[0]) if accuracy is None else right_enough(right, goals[0])
    fits = (reached & last_of_ties).nonzero().flatten()
    if not len(fits):
        best = float((right.cumsum(0) / torch.arange(1, len(right) + 1))[last_of_ties].max())
        raise DataError(
            f"No threshold makes {goals[0]:.1%} of the answers of the head {asked.name!r} right; the best is "
            f"{best:.1%}."
        )
    chosen = fits[0] if accuracy is None else fits[-1]
    return select(logits, target, float(confidence[chosen]))


def covers(count: int, coverage: float) -> Tensor:
    """Whether answering the first n videos, n = 1 ... count, answers this share of them."""
    return torch.arange(1, count + 1) >= coverage * count - 1e-9


def right_enough(right: Tensor, accuracy: float) -> Tensor:
    """Whether answering the first n videos, n = 1 ... N, gives this share of right answers."""
    return right.cumsum(0) >= accuracy * torch.arange(1, len(right) + 1) - 1e-9
