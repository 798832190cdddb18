import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.clips import moving_square, write_clip, write_motion
from tests.evaluation.motion import classifier_of
from tubelet.classifier import Classifier
from tubelet.data.folders import Folders
from tubelet.errors import DataError
from tubelet.evaluation import evaluate
from tubelet.labels import Head, Labels
from tubelet.models.vivit import ViViT


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("motion"), 3, ("train", "test"))


def test_the_same_answers_as_predict_one_by_one_with_classes_in_any_order(root: Path, tmp_path: Path):
    classifier, source = classifier_of(("right", "middle", "left")), Folders(root=root)
    report = evaluate(classifier, source, "test", chunk=24, out=tmp_path / "out", progress=False)
    samples = source.samples("test")
    right = [classifier.predict(str(s.path)).top(1)[0][0] == s.path.parent.name for s in samples]
    assert report.top1 == pytest.approx(sum(right) / len(right))
    assert (report.views, report.videos, report.joint) == ("2x3", 6, None)
    lines = [json.loads(line) for line in (tmp_path / "out/videos.jsonl").read_text().splitlines()]
    assert [line["video"] for line in lines] == [s.name for s in samples]
    for sample, line in zip(samples, lines, strict=True):
        predicted = classifier.predict(str(sample.path))
        head = line["heads"]["label"]
        assert head["logits"] == pytest.approx(predicted.logits.tolist(), abs=1e-5)
        assert [answer["label"] for answer in head["top"]] == [name for name, _ in predicted.top()]
        expected = [p for _, p in predicted.top()]
        assert [answer["probability"] for answer in head["top"]] == pytest.approx(expected, abs=1e-5)
        assert line["heads"]["label"]["label"] == sample.path.parent.name
        assert line["views"] == 6
        assert line["error"] is None


def test_unreadable_videos_are_named_and_in_no_metric(root: Path, tmp_path: Path):
    for label in ("left", "right"):
        (tmp_path / "test" / label).mkdir(parents=True)
        good = root / "test" / label / "00.mp4"
        (tmp_path / "test" / label / "good.mp4").write_bytes(good.read_bytes())
    (tmp_path / "test/left/broken.mp4").write_bytes(b"nothing")
    source = Folders(root=tmp_path)
    out = tmp_path / "out"
    report = evaluate(classifier_of(("left", "right")), source, "test", "1x1", out=out, progress=False)
    assert (report.videos, report.heads[0].videos) == (3, 2)
    assert [Path(u.video).name for u in report.unreadable] == ["broken.mp4"]
    line = json.loads((out / "videos.jsonl").read_text().splitlines()[0])
    assert line["error"]
    assert line["heads"] == {"label": {"label": "left", "top": [], "logits": None}}
    assert json.loads((out / "metrics.json").read_text())["unreadable"][0]["error"]
    with (tmp_path / "sink").open("w") as sink:
        console = Console(record=True, width=100, file=sink)
        console.print(report.table(per_class=True))
    text = "".join(console.export_text().split())
    assert "1of3couldnotberead" in text
    assert "broken.mp4" in text


def test_videos_too_short_for_a_view_that_refuses_them_are_named(root: Path, tmp_path: Path):
    (tmp_path / "test/left").mkdir(parents=True)
    (tmp_path / "test/left/good.mp4").write_bytes((root / "test/left/00.mp4").read_bytes())
    write_clip(tmp_path / "test/left/short.mp4", moving_square(1, 0, frames=3))
    classifier = classifier_of(("left",))
    classifier.view = replace(classifier.view, short="refuse")
    report = evaluate(classifier, Folders(root=tmp_path), "test", "1x1", progress=False)
    assert report.heads[0].videos == 1
    assert [(Path(u.video).name, u.error.split(";")[0]) for u in report.unreadable] == [
        ("short.mp4", "a clip of 4 frames from frame 0 on ends after a video of 3 frames")
    ]


def test_nothing_readable_is_an_error(tmp_path: Path):
    (tmp_path / "test/left").mkdir(parents=True)
    (tmp_path / "test/left/broken.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the 1 videos"):
        evaluate(classifier_of(("left", "right")), Folders(root=tmp_path), "test", progress=False)


def test_classes_that_the_classifier_does_not_know(root: Path):
    with pytest.raises(DataError, match="no class right"):
        evaluate(classifier_of(("left", "up")), Folders(root=root), "test")
    other = classifier_of(("left", "right"))
    config = replace(other.model.config, classes=(2, 2))
    labels = Labels((Head("a", ("left", "right")), Head("b", ("x", "y"))))
    with pytest.raises(DataError, match="heads label, the classifier a, b"):
        evaluate(Classifier(ViViT(config), other.view, labels), Folders(root=root), "test")


def test_shuffled_frames_change_the_answers_and_are_always_alike(root: Path, tmp_path: Path):
    classifier, source = classifier_of(("left", "right")), Folders(root=root)
    logits: list[torch.Tensor] = []
    for name, shuffled in (("in order", False), ("once", True), ("twice", True)):
        chunk = 8 if name == "once" else 24
        report = evaluate(classifier, source, shuffle_frames=shuffled, chunk=chunk, progress=False)
        assert report.shuffled == shuffled
        logits.append(report.results.logits())
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)
    torch.testing.assert_close(logits[1], logits[2], rtol=1e-5, atol=1e-5)
