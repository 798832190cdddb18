import math

import pytest
import torch
import torch.nn.functional as F

from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Head, Labels
from tubelet.training.loss import balanced_weights, class_counts, cross_entropy, prior_entropy, verdict

LABELS = Labels((Head("verb", ("a", "b", "c")), Head("noun", ("x", "y"))))


def test_the_mean_over_heads_of_each_cross_entropy_where_there_is_a_label():
    logits = torch.randn(4, 5)
    targets = torch.tensor([[0, 1], [2, UNKNOWN], [1, 0], [UNKNOWN, 1]])
    verb = F.cross_entropy(logits[:3, :3], targets[:3, 0], label_smoothing=0.2)
    noun = F.cross_entropy(logits[[0, 2, 3], 3:], targets[[0, 2, 3], 1], label_smoothing=0.2)
    torch.testing.assert_close(cross_entropy(logits, targets, LABELS, smoothing=0.2), (verb + noun) / 2)


def test_a_head_without_any_label_counts_nothing_and_still_has_a_gradient():
    logits = torch.randn(2, 5, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[0, UNKNOWN], [1, UNKNOWN]]), LABELS)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, 3:].abs().sum() == 0
    torch.testing.assert_close(loss, F.cross_entropy(logits[:, :3], torch.tensor([0, 1])) / 2)


def test_balanced_weights_make_every_class_count_the_same():
    labels = Labels.single(("a", "b", "c"))
    samples = [Sample(path="", labels=(n,)) for n in (0, 0, 0, 1)]  # pyright: ignore[reportArgumentType]
    counts = class_counts(samples, labels)
    assert counts[0].tolist() == [3, 1, 0]
    (weight,) = balanced_weights(counts)
    torch.testing.assert_close(weight * counts[0], torch.tensor([2.0, 2.0, 0.0]))


def test_prior_entropy_is_the_loss_of_the_frequencies():
    counts = [torch.tensor([3, 1, 0]), torch.tensor([2, 2])]
    first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert prior_entropy(counts) == pytest.approx((first + math.log(2)) / 2)


def test_the_verdict_is_plain():
    assert verdict(2.0, 3.6) is None
    assert "Nothing learned: the training loss is 3.590" in (verdict(3.59, 3.6) or "")
