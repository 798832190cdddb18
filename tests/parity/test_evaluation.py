"""Testing against what the official code recorded: several views of a video, pairs of classes, average precision."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.parity.test_scenic import close, config_of, pixels
from tubelet.classifier import Classifier
from tubelet.evaluation.joint import measure_joint, pair_scores, pairs_ahead
from tubelet.evaluation.metrics import confusion, measure_head
from tubelet.evaluation.multi_label import measure_multi
from tubelet.evaluation.multiview import answers
from tubelet.labels import Labels
from tubelet.video.view import View
from tubelet.weights import scenic


@pytest.mark.parametrize("case", [0, 1])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_several_views(golden: Path, case: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    info = json.loads((golden / "functions/info.json").read_text())["multiview"][case]
    recorded = np.load(golden / "functions" / info["file"])
    names = [name for name in recorded.files if name.startswith("param:")]
    parameters = {name.removeprefix("param:"): torch.from_numpy(recorded[name]) for name in names}
    config = config_of(info["model"])
    model, _ = scenic.build_scenic(parameters, "golden", config, config.classes, ())
    view = View(frames=4, stride=1, size=16, value_range=(-1.0, 1.0))
    classifier = Classifier(model, view, Labels.numbered(config.classes))
    monkeypatch.setattr(
        View, "normalise", lambda _, values: values
    )  # the views are recorded as the model sees them
    views = pixels(recorded["inputs"])
    twice = torch.cat([views, views.flip(0)])  # a second video, of the same views
    close(answers(classifier, views, 1, chunk=chunk), recorded["per_view_logits"], 2e-5)
    for average in ("logits", "probabilities"):
        found = answers(classifier, twice, len(views), chunk=chunk, average=average)
        expected = recorded["average_of_logits" if average == "logits" else "average_of_softmax"]
        for video in found:
            close(video[None] if average == "logits" else video[None].softmax(-1), expected, 2e-5)


@pytest.mark.parametrize("case", ["0", "1"])
def test_pairs_of_classes(golden: Path, case: str) -> None:
    recorded = np.load(golden / "functions/joint_metrics.npz")
    values: dict[str, Any] = {
        name.removeprefix(f"{case}/"): recorded[name] for name in recorded.files if name.startswith(case)
    }
    splits = values["class_splits"].tolist()
    noun, verb = torch.from_numpy(values["logits"]).split(splits, dim=1)
    close(pair_scores(noun, verb), values["pair_scores"], 1e-6)
    targets = torch.stack(
        [part.argmax(1) for part in torch.from_numpy(values["label"]).split(splits, dim=1)], dim=1
    )
    assert (targets[:, 0] * splits[1] + targets[:, 1]).tolist() == values["pair_label"].tolist()
    ahead = pairs_ahead(noun, verb, targets)
    assert (ahead == 0).int().tolist() == values["joint_correct"].tolist()
    assert (ahead < 5).int().tolist() == values["joint_top5"].flatten().tolist()
    targets[values["mask"] == 0, 0] = -1  # who has no label is in no metric
    found = measure_joint(("noun", "verb"), (noun, verb), targets, torch.arange(len(targets)))
    assert found is not None
    videos = values["mask"].sum()
    assert found.videos == videos
    assert found.top1 == pytest.approx(values["joint_correct_masked"].sum() / videos)
    assert found.top5 == pytest.approx(values["joint_top5_masked"].sum() / videos)


def test_mean_average_precision(golden: Path) -> None:
    info = json.loads((golden / "functions/info.json").read_text())["evaluation"]["mean_average_precision"]
    recorded = np.load(golden / "functions/evaluation.npz")
    logits, target = (torch.from_numpy(recorded[name]) for name in ("logits", "multihot"))
    found = measure_multi("label", "01234", logits, target.float(), torch.arange(len(logits)))
    assert found.mean_average_precision == pytest.approx(info["mean_average_precision"], abs=1e-6)
    for name, one in found.per_class.items():
        assert one == pytest.approx(info[f"per_class_average_precision_{name}"], abs=1e-6)


def test_confusion_and_recall(golden: Path) -> None:
    info = json.loads((golden / "functions/info.json").read_text())["evaluation"]["confusion_matrix"]
    counts = np.load(golden / "functions/evaluation.npz")["confusion_matrices"].sum((0, 1)).astype(int)
    pairs = torch.from_numpy(np.argwhere(counts)).repeat_interleave(torch.from_numpy(counts[counts > 0]), 0)
    target, answer = pairs.unbind(1)
    logits = torch.nn.functional.one_hot(answer, 5).float()
    assert np.array_equal(confusion(logits, target), counts)
    found = measure_head("label", "01234", logits, target)
    assert found.balanced == pytest.approx(info["recall/mean"], abs=1e-6)
    for name, one in found.per_class.items():
        assert one == pytest.approx(info[f"recall/{name}"], abs=1e-6)
