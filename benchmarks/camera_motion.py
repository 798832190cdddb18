"""The camera-motion model on its test set, beside the classical row.

`python benchmarks/camera_motion.py MODEL --data ../shared/data --json out.json` prints balanced accuracy per
head, over all sources and for each, what the model calls ambiguous moves, and the same for the classical
method (`camera_motion_classical.py`). MODEL is a classifier's folder.
"""

import argparse
import json
from pathlib import Path

import torch
from camera_motion_classical import classify, labels_of, measure, tuned_limits
from torch import Tensor

import tubelet
from tubelet.recipes.camera_motion.moves import AMBIGUOUS, HEADS
from tubelet.recipes.camera_motion.scoring import balanced_accuracy
from tubelet.recipes.camera_motion.testset import TestClip, make_test_set


@torch.inference_mode()
def answers(model: Path, clips: list[TestClip]) -> Tensor:
    """(N, heads) classes that the classifier gives, in the order of `HEADS`; UNASKED for heads that it lacks."""
    classifier = tubelet.load(model)
    rows: list[Tensor] = []
    for clip in clips:
        pixels = classifier.view.normalise(classifier.view.prepare(clip.frames))
        parts = classifier.labels.split(classifier.run(pixels[None])[0])
        rows.append(torch.tensor([int(parts[h].argmax()) if h in parts else UNASKED for h in HEADS]))
    return torch.stack(rows)


UNASKED = -2


def table(found: Tensor, labels: Tensor, clips: list[TestClip]) -> dict[str, dict[str, float]]:
    """Balanced accuracies over all clips and for each source; where the ambiguous moves went."""
    rows = {"all": balanced_accuracy(found, labels)}
    for source in dict.fromkeys(clip.source for clip in clips):
        chosen = torch.tensor([clip.source == source for clip in clips])
        rows[source] = balanced_accuracy(found[chosen], labels[chosen])
    plain = torch.tensor([clip.motion.cut is None for clip in clips])
    rows["without a cut"] = balanced_accuracy(found[plain], labels[plain])
    rows["with a cut"] = balanced_accuracy(found[~plain], labels[~plain])
    unclear = labels == AMBIGUOUS
    still = torch.tensor([len(names) // 2 if len(names) == 3 else 0 for names in HEADS.values()])
    called_still = ((found == still) & unclear).sum(0) / unclear.sum(0).clamp(min=1)
    rows["ambiguous, clips"] = dict(zip(HEADS, unclear.sum(0).tolist(), strict=True))
    rows["ambiguous, called none"] = dict(zip(HEADS, called_still.tolist(), strict=True))
    asked = [head for head, column in zip(HEADS, found.T, strict=True) if (column != UNASKED).any()]
    return {name: {head: row[head] for head in asked} for name, row in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--per-source", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--classical", action="store_true", help="measure the classical row too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = make_test_set(arguments.data, arguments.per_source)
    labels = labels_of([clip.motion for clip in clips])
    result = {"vivit": table(answers(arguments.model, clips), labels, clips)}
    if arguments.classical:
        limits = tuned_limits()
        found = torch.tensor([classify(measure(clip.frames), limits) for clip in clips])
        result["classical"] = table(found, labels, clips)
    for method, rows in result.items():
        print(f"\n{method:24s}" + "".join(f"{head:>8s}" for head in rows["all"]))
        for name, row in rows.items():
            print(f"{name:24s}" + "".join(f"{value:8.3f}" for value in row.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
