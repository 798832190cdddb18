import json
from pathlib import Path

import pytest
import torch

from tests.clips import write_motion
from tests.evaluation.made import guesses, results_of
from tests.evaluation.motion import classifier_of
from tubelet.classifier import Classifier
from tubelet.cli import evaluate, predict, threshold
from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import Results
from tubelet.evaluation.threshold import choose_threshold
from tubelet.labels import Head, Labels

PAIR = Labels((Head("a", ("x", "y", "z")), Head("n", ("n",), "number")))


@pytest.fixture
def results() -> Results:
    logits, target = guesses(300, 3, 0.5)
    said = [(int(t), UNKNOWN) for t in target]
    said[0] = (UNKNOWN, UNKNOWN)
    return results_of(PAIR, torch.cat([logits, torch.zeros(300, 1)], dim=1), said)


def answered(results: Results, threshold: float) -> tuple[float, float]:
    """By hand: the share of the videos that is answered, and the share of those that is right."""
    confidence, answer = results.logits()[1:, :3].softmax(1).max(1)
    kept = confidence >= threshold
    return float(kept.float().mean()), float((answer == results.classes()[1:, 0])[kept].float().mean())


def test_promises_are_kept_and_no_more_is_given_up_than_must_be(results: Results):
    found = choose_threshold(results, "a", accuracy=0.9)
    share, right = answered(results, found.threshold)
    assert (found.answered, found.top1) == (pytest.approx(share), pytest.approx(right))
    assert right >= 0.9
    lower = results.logits()[1:, :3].softmax(1).max(1).values
    assert all(answered(results, float(t))[1] < 0.9 for t in lower[lower < found.threshold])
    half = choose_threshold(results, 0, coverage=0.5)
    assert 0.5 <= answered(results, half.threshold)[0] <= 0.5 + 1 / 299
    everything = choose_threshold(results, 0, coverage=1.0)
    assert everything.answered == 1


def test_what_cannot_be_promised(results: Results):
    for goals in ({}, {"accuracy": 0.9, "coverage": 0.9}, {"accuracy": 95.0}):
        with pytest.raises(ConfigError, match="exactly one"):
            choose_threshold(results, **goals)
    with pytest.raises(ConfigError, match="number: only single heads"):
        choose_threshold(results, "n", accuracy=0.9)
    wrong = results_of(PAIR, torch.tensor([[9.0, 0, 0, 0], [1, 0, 0, 0]]), [(1, UNKNOWN), (0, UNKNOWN)])
    with pytest.raises(DataError, match=r"No threshold makes 90.0% .* best is 50.0%"):
        choose_threshold(wrong, accuracy=0.9)
    with pytest.raises(DataError, match="No video of these results has a label"):
        choose_threshold(results_of(PAIR, torch.zeros(1, 4), [(UNKNOWN, UNKNOWN)]), accuracy=0.9)


def test_from_validation_to_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """tubelet evaluate, threshold, predict: the clips below the threshold are unknown, the others as before."""
    monkeypatch.chdir(tmp_path)
    write_motion(Path("clips"), 5, ("val",))
    classifier_of(("left", "right")).save("model")
    assert evaluate.main("tubelet evaluate", ["model", "clips", "--split", "val"]) == 0
    results = "results/model-val-2x3"
    assert f"Results: {results} (" in capsys.readouterr().out
    before = Path("model/model.safetensors").read_bytes()
    told = threshold.main("tubelet threshold", [results, "--coverage", "0.6"])
    assert told == 0
    assert "Kept" not in capsys.readouterr().out
    assert Classifier.load("model").labels.heads[0].threshold is None
    threshold.main("tubelet threshold", [results, "--coverage", "0.6", "--model", "model"])
    assert "answers 'unknown'" in capsys.readouterr().out
    assert Path("model/model.safetensors").read_bytes() == before
    limit = Classifier.load("model").labels.heads[0].threshold
    assert limit is not None
    predict.main("tubelet predict", ["clips", "--model", "model", "--json", "-", "--top", "2"])
    unknown = 0
    for one in json.loads(capsys.readouterr().out)["predictions"]:
        best, second = one["heads"]["label"]
        if best["label"] == "unknown":
            unknown += 1
            assert second["probability"] < limit
            assert best["probability"] == pytest.approx(1 - second["probability"])
        else:
            assert best["probability"] >= limit
    assert unknown == 4
    assert evaluate.main("tubelet evaluate", ["model", "clips", "--split", "val"]) == 0
    shown = capsys.readouterr().out
    assert f"Results: {results} (" in shown, "a threshold changes no result: nothing was computed again"
    assert "answered: at least" in shown
    Classifier.load("model").save("copy")
    assert Classifier.load("copy").labels.heads[0].threshold == limit


def test_of_another_model(tmp_path: Path):
    write_motion(tmp_path / "clips", 1, ("val",))
    first, other = classifier_of(("left", "right")), classifier_of(("left", "right"))
    with torch.no_grad():
        other.model.head.bias += 1
    first.save(tmp_path / "first")
    other.save(tmp_path / "other")
    arguments = [
        str(tmp_path / "first"),
        str(tmp_path / "clips"),
        "--split",
        "val",
        "--out",
        str(tmp_path / "out"),
    ]
    assert evaluate.main("tubelet evaluate", arguments) == 0
    goal = [str(tmp_path / "out"), "--coverage", "1"]
    with pytest.raises(ConfigError, match=r"of another model than .*other: of .*first"):
        threshold.main("tubelet threshold", [*goal, "--model", str(tmp_path / "other")])
    with pytest.raises(ConfigError, match=r"No head words: there are label \(single\)"):
        threshold.main("tubelet threshold", [*goal, "--head", "words"])


def test_labels_with_a_threshold():
    labels = PAIR.with_threshold("a", 0.7)
    assert Labels.from_dict(labels.to_dict()) == labels
    assert "threshold" not in PAIR.to_dict()[0]
    assert labels.with_threshold("a", None) == PAIR
    for head, value in (("n", 0.5), ("a", 1.5)):
        with pytest.raises(ConfigError, match=r"single heads may have one, a probability from 0 to 1"):
            PAIR.with_threshold(head, value)
