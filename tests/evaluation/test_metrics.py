import math

import pytest
import torch

from tubelet.data.source import UNKNOWN
from tubelet.evaluation.metrics import measure
from tubelet.labels import Head, Labels


def test_numbers_by_hand():
    labels = Labels((Head("word", tuple("abcdefg")), Head("side", ("left", "right"))))
    logits = torch.zeros(4, 9)
    logits[:, :7] = torch.arange(7, 0, -1)  # always a first, g last
    logits[:, 7] = 1.0
    targets = torch.tensor([[0, 0], [0, 1], [4, UNKNOWN], [6, 0]])
    word, side = measure(logits, targets, labels)
    assert (word.top1, word.top5, word.videos) == (0.5, 0.75, 4)
    assert word.balanced == pytest.approx(1 / 3)
    assert word.frequent == 0.5
    assert word.per_class["a"] == 1
    assert word.per_class["b"] is None
    assert word.count_per_class == dict(zip("abcdefg", (2, 0, 0, 0, 1, 0, 1), strict=True))
    assert (side.videos, side.top5) == (3, None)
    assert side.top1 == pytest.approx(2 / 3)
    assert side.cross_entropy == pytest.approx((2 * math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 3)


def test_a_head_that_nobody_labelled():
    (head,) = measure(torch.randn(2, 2), torch.full((2, 1), UNKNOWN), Labels.single(("a", "b")))
    assert head.videos == 0
    assert math.isnan(head.top1)
    assert head.auc is None


def test_the_area_under_the_roc_curve():
    """Of the four pairs of a right-hand and a left-hand video two are in order, and one is even."""
    labels = Labels.single(("left", "right"))
    logits = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, 1.0]])
    (head,) = measure(logits, torch.tensor([[1], [1], [0], [0]]), labels)
    assert head.auc == pytest.approx(2.5 / 4)
    assert measure(logits, torch.tensor([[1]] * 4), labels)[0].auc is None
