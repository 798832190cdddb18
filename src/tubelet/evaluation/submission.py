"""The file with which results are handed in to the action recognition challenge of EPIC-Kitchens-100."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.joint import pair_scores
from tubelet.evaluation.results import Results

VERSION = "0.2"
MOST_ACTIONS = 100
"""Actions of a segment that are handed in: the most probable ones."""


def write_submission(results: Results, file: Path, supervision: tuple[int, int, int]) -> None:
    """Write the challenge's JSON: for each segment the probabilities of all verbs, of all nouns, and of 100 actions.

    An action's probability is the product of its verb's and its noun's. The server takes the file as `test.json` in a
    zip archive.

    Args:
        results: of all segments of a split of `EpicKitchens`.
        file: where to; must not be there.
        supervision: the challenge's levels of supervision, 0 to 5 each: of pretraining, of training labels, of
            training data. github.com/epic-kitchens/sls says what they mean.

    Raises:
        ConfigError: for other levels.
        DataError: if the results are not of EPIC-Kitchens, or a segment could not be read: every one must be there.
        FileExistsError: if the file is there.
    """
    if any(level not in range(6) for level in supervision):
        raise ConfigError(
            f"supervision={supervision}: three levels from 0 to 5, as github.com/epic-kitchens/sls."
        )
    names = [head.name for head in results.labels.heads]
    if not {"verb", "noun"} <= set(names) or any(row.id is None for row in results.rows):
        raise DataError(
            "A submission wants the heads verb and noun and the narration ids of EpicKitchens; here are "
            f"{', '.join(names)}."
        )
    if results.failed:
        raise DataError(
            f"A submission must have every segment, and {len(results.failed)} could not be read, such as "
            f"{results.failed[0].video}: {results.failed[0].error}"
        )
    parts = results.labels.split(results.logits())
    scores = {
        str(row.id): segment(verb, noun)
        for row, verb, noun in zip(results.rows, parts["verb"], parts["noun"], strict=True)
    }
    pretraining, labels, data = supervision
    whole = {
        "version": VERSION, "challenge": "action_recognition",
        "sls_pt": pretraining, "sls_tl": labels, "sls_td": data, "results": scores,
    }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as opened:
        json.dump(whole, opened)


def segment(verb: Tensor, noun: Tensor) -> dict[str, Any]:
    """The scores of one segment, by the numbers of the classes: logits `(verbs,)` and `(nouns,)`."""
    pairs = pair_scores(verb[None], noun[None])[0]
    best = pairs.topk(min(MOST_ACTIONS, len(pairs)))
    numbers = [divmod(place, len(noun)) for place in best.indices.tolist()]
    return {
        "verb": {str(i): p for i, p in enumerate(verb.softmax(-1).tolist())},
        "noun": {str(i): p for i, p in enumerate(noun.softmax(-1).tolist())},
        "action": {f"{v},{n}": p for (v, n), p in zip(numbers, best.values.tolist(), strict=True)},
    }
