import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torchmetrics.functional.classification import multiclass_calibration_error, multilabel_average_precision

from tests.evaluation.made import guesses, results_of
from tubelet.data.source import UNKNOWN
from tubelet.evaluation import HeadMetrics, MultiMetrics, NumberMetrics, report
from tubelet.evaluation.bootstrap import intervals, weighted_mean
from tubelet.evaluation.calibration import calibrate
from tubelet.evaluation.multi_label import weighted_precision
from tubelet.labels import Head, Labels

MIXED = Labels(
    (
        Head("word", tuple("abcdefg")),
        Head("does", ("walk", "talk", "fly"), "multi"),
        Head("speed", ("across", "down"), "number"),
    )
)


def text_of(table: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_heads_of_every_kind_each_without_the_videos_that_nobody_labelled(tmp_path: Path):
    torch.manual_seed(3)
    logits = torch.randn(40, 12)
    said = [(i % 7, (0.0, 2.0) if i % 2 else (), (float(i), i / 2)) for i in range(40)]
    logits[:, 10], logits[:, 11] = torch.arange(40) + 1.0, torch.arange(40) / 2
    said[0] = (UNKNOWN, UNKNOWN, UNKNOWN)
    said[1] = (1, (0.0,), UNKNOWN)
    logits[2] = math.nan  # not read
    found = report(results_of(MIXED, logits, said))
    word, does, speed = found.heads
    assert isinstance(word, HeadMetrics)
    assert isinstance(does, MultiMetrics)
    assert isinstance(speed, NumberMetrics)
    assert (word.videos, does.videos, speed.videos) == (38, 38, 37)
    assert [one.video for one in found.unreadable] == ["2.mp4"]
    assert speed.outputs["across"].mae == speed.outputs["across"].rmse == 1
    assert speed.outputs["across"].r2 == pytest.approx(
        1 - 1 / torch.tensor([float(i) for i in range(3, 40)]).var(correction=0).item()
    )
    assert speed.outputs["down"].r2 == 1
    assert speed.mae == pytest.approx(0.5)
    assert (does.per_class["talk"], does.count_per_class["fly"]) == (None, 19)
    kept = [i for i in range(40) if i not in (0, 2)]
    held = torch.tensor([[int(bool(said[i][1])), int(i % 2 == 1 and i != 1)] for i in kept])
    expected = multilabel_average_precision(logits[kept][:, [7, 9]].sigmoid(), held, 2, average="macro")
    assert does.mean_average_precision == pytest.approx(float(expected))
    assert found.joint is None
    assert found.top1 == word.top1
    found.write(tmp_path)
    plain = json.loads((tmp_path / "metrics.json").read_text())
    assert [head["kind"] for head in plain["heads"]] == ["single", "multi", "number"]
    matrix = [line.split(",") for line in (tmp_path / "confusion-word.csv").read_text().splitlines()]
    assert matrix[0] == ["right class", *"abcdefg"]
    assert sum(int(n) for row in matrix[1:] for n in row[1:]) == 38
    assert sum(int(matrix[n][n]) for n in range(1, 8)) == round(38 * word.top1)
    shown = text_of(found.table(per_class=True))
    for words in (
        "mean average precision",
        "R2",
        "95 % interval",
        "1 of 40 could not be read: 2.mp4",
        "12 GMACs",
    ):
        assert words in shown


def test_nothing_labelled_at_all():
    labels = Labels(
        (
            Head("a", ("x", "y")),
            Head("b", ("x", "y")),
            Head("n", ("n",), "number"),
            Head("m", ("m",), "multi"),
        )
    )
    found = report(results_of(labels, torch.randn(12, 6), [(UNKNOWN,) * 4] * 12))
    assert math.isnan(found.top1)
    assert found.joint is None
    assert [head.videos for head in found.heads] == [0, 0, 0, 0]
    assert "nan" in text_of(found.table())


def test_more_than_two_heads_are_right_together():
    labels = Labels(tuple(Head(name, ("x", "y")) for name in "abc"))
    logits = torch.tensor([[1.0, 0, 1, 0, 1, 0]] * 3)
    found = report(results_of(labels, logits, [(0, 0, 0), (0, 0, 1), (0, 0, UNKNOWN)])).joint
    assert found is not None
    assert (found.heads, found.videos, found.top1, found.top5) == (("a", "b", "c"), 2, 0.5, None)


def test_calibration():
    logits, target = guesses(500, 4, 0.6)
    found = calibrate(logits, target)
    assert found.ece == pytest.approx(
        float(multiclass_calibration_error(logits.softmax(1), target, 4)), abs=1e-6
    )
    by_hand = sum(one.videos * abs(one.accuracy - one.confidence) for one in found.bins if one.videos) / 500  # type: ignore[operator]
    assert by_hand == pytest.approx(found.ece, abs=1e-5)
    assert sum(one.videos for one in found.bins) == 500
    certain = calibrate(torch.tensor([[100.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1]))
    assert certain.bins[-1].videos == 4, "a probability of 1 is in the last bin"
    assert certain.ece == pytest.approx(0.25)


def test_intervals_are_those_of_the_binomial():
    """Of 400 videos, 60 % right: the standard error is sqrt(0.6 * 0.4 / 400) = 2.45 %."""
    right = (torch.arange(400) < 240).double()
    found = intervals(["top1"], lambda w: weighted_mean(right, w)[None], torch.arange(400))["top1"]
    assert found.low == pytest.approx(0.6 - 1.96 * 0.0245, abs=0.006)
    assert found.high == pytest.approx(0.6 + 1.96 * 0.0245, abs=0.006)


def test_groups_are_drawn_as_one():
    """20 speakers of 20 videos each, all right or all wrong: as uncertain as 20 videos."""
    labels, target = Labels.single(("a", "b")), torch.zeros(400, dtype=torch.int64)
    logits = torch.nn.functional.one_hot((torch.arange(400) // 20) % 2, 2).float()
    said = [(int(t),) for t in target]
    alone = report(results_of(labels, logits, said))
    grouped = report(results_of(labels, logits, said, groups=[f"speaker {i // 20}" for i in range(400)]))
    assert (alone.drawn, grouped.drawn) == ("videos", "groups")
    widths = [
        one.heads[0].intervals["top1"].high - one.heads[0].intervals["top1"].low for one in (alone, grouped)
    ]
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(20), rel=0.2)
    few = report(results_of(labels, logits, said, groups=[f"speaker {i // 100}" for i in range(400)]))
    assert few.heads[0].intervals == {}, "four speakers say nothing of others"


def test_precision_of_drawn_videos_is_that_of_their_copies():
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(30, 3, generator=generator), torch.rand(30, 3, generator=generator).round()
    drawn = torch.randint(30, (30,), generator=generator)
    expected = multilabel_average_precision(logits[drawn].sigmoid(), target[drawn].int(), 3, average="macro")
    found = weighted_precision(logits, target)(drawn.bincount(minlength=30).double())
    assert float(found) == pytest.approx(float(expected), abs=1e-5)


def test_a_threshold_is_measured_too():
    labels = Labels((Head("label", ("a", "b"), threshold=0.9),))
    logits = torch.tensor([[5.0, 0], [5, 0], [0.1, 0], [0, 5]])
    (head,) = report(results_of(labels, logits, [(0,), (1,), (0,), (1,)])).heads
    assert isinstance(head, HeadMetrics)
    assert head.selective is not None
    assert (head.selective.answered, head.selective.top1) == (0.75, pytest.approx(2 / 3))
    assert head.top1 == 0.75
