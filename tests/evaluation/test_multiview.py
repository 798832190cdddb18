import csv
import math
from pathlib import Path

import pytest
import torch

from tests.clips import write_motion
from tests.evaluation.motion import classifier_of
from tubelet.data.folders import Folders
from tubelet.data.table import Table
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import HeadMetrics, MultiMetrics, NumberMetrics, evaluate
from tubelet.labels import Head, Labels

MIXED = Labels(
    (
        Head("who", ("ann", "bob", "cid")),
        Head("does", ("walk", "talk"), "multi"),
        Head("speed", ("speed",), "number"),
    )
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("motion"), 2, ("test",))


def test_the_mean_of_probabilities():
    torch.manual_seed(0)
    logits = 20 * torch.randn(5, 12, 6)
    found = MIXED.split(MIXED.averaged(logits, "probabilities"))
    views = MIXED.probabilities(logits)
    for head in MIXED.heads:
        expected = views[head.name].mean(dim=1)
        torch.testing.assert_close(head.probabilities(found[head.name]), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(MIXED.averaged(logits), logits.mean(dim=1))
    sure = torch.tensor([[200.0, 0.0], [-200.0, 0.0]])  # no probability is lost, however small
    torch.testing.assert_close(
        Labels.single(("a", "b")).averaged(sure, "probabilities"), torch.full((2,), -math.log(2))
    )
    with pytest.raises(ConfigError, match=r"average='median': views are averaged by their logits"):
        MIXED.averaged(logits, "median")  # type: ignore[arg-type]


def test_evaluate_and_predict_average_alike_whatever_the_chunk(root: Path):
    classifier, source = classifier_of(("left", "right")), Folders(root=root)
    video = source.samples("test")[1]
    expected = torch.stack([classifier.run(classifier.look(video.path, "2x3").pixels).softmax(1).mean(0)])  # type: ignore[union-attr]
    prediction = classifier.predict(video.path, average="probabilities")
    torch.testing.assert_close(prediction.probabilities()[None], expected)
    for chunk in (1, 4, 12, 100):
        report = evaluate(classifier, source, average="probabilities", chunk=chunk, progress=False)
        torch.testing.assert_close(report.results.logits()[1], prediction.logits, rtol=1e-5, atol=1e-5)
        assert report.average == "probabilities"
    with pytest.raises(ConfigError, match="median"):
        classifier.predict(video.path, average="median")  # type: ignore[arg-type]


def test_memory_is_bounded_by_the_chunk(root: Path):
    classifier = classifier_of(("left", "right"))
    sizes: list[int] = []
    classifier.model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    evaluate(classifier, Folders(root=root), views="4x3", chunk=5, progress=False)
    assert sizes == [5, 5, 2] * 4


def test_heads_of_every_kind_from_a_table(root: Path, tmp_path: Path):
    """The data name their classes in another order than the classifier, and not all labels are there."""
    table = root / "clips.csv"
    with table.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "who", "does", "speed", "split"])
        files = sorted(root.rglob("*.mp4"))
        labels = [("cid", "walk;talk", 1.5), ("ann", ";", 0.5), ("", "talk", ""), ("bob", "", 2.0)]
        writer.writerows(
            [path.relative_to(root), *label, "test"] for path, label in zip(files, labels, strict=True)
        )
    source = Table(
        file=table, label=("who", "does", "speed"), multi=("does",), number=("speed",), split="split"
    )
    turned = Labels(tuple(Head(h.name, h.classes[::-1], h.kind) for h in source.labels.heads))
    report = evaluate(classifier_of(turned), source, out=tmp_path / "out", progress=False)
    who, does, speed = report.heads
    assert isinstance(who, HeadMetrics)
    assert isinstance(does, MultiMetrics)
    assert isinstance(speed, NumberMetrics)
    assert (who.videos, does.videos, speed.videos) == (3, 3, 3)
    assert who.count_per_class == {"ann": 1, "bob": 1, "cid": 1}
    assert does.count_per_class == {"talk": 2, "walk": 1}
    said = report.results.logits()[:, -1]
    assert speed.mae == pytest.approx(
        float((said[[0, 1, 3]] - torch.tensor([1.5, 0.5, 2.0])).abs().mean()), abs=1e-6
    )
    with pytest.raises(DataError, match="'does' is single in the classifier, multi in the data"):
        evaluate(classifier_of(Labels(tuple(Head(h.name, h.classes) for h in turned.heads))), source)


def test_outputs_that_are_no_numbers_are_no_answers(root: Path):
    classifier = classifier_of(("left", "right"))
    with torch.no_grad():
        classifier.model.head.bias[0] = math.inf
    with pytest.raises(
        DataError, match=r"None of the 4 videos of test can be read: The model's outputs are not finite"
    ):
        evaluate(classifier, Folders(root=root), progress=False)
