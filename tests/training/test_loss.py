import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Head, Labels
from tubelet.training.doctor import batch_entropy
from tubelet.training.loss import (
    balanced_weights,
    class_counts,
    class_numbers,
    cross_entropy,
    dense_targets,
    objective,
    prior_entropy,
    verdict,
)

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
    samples = [
        Sample(path=Path(), labels=pair)
        for pair in ((0, 0), (0, UNKNOWN), (0, 1), (1, UNKNOWN), (UNKNOWN, UNKNOWN))
    ]
    first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert prior_entropy(samples, LABELS) == pytest.approx((first + math.log(2)) / 2)


def test_the_verdict_is_plain():
    assert verdict(2.0, 3.6) is None
    assert "Nothing learned: the training loss is 3.590" in (verdict(3.59, 3.6) or "")


MANY = Labels(
    (Head("verb", ("a", "b", "c")), Head("tags", ("x", "y"), "multi"), Head("speed", ("m/s",), "number"))
)


def test_every_kind_of_head_in_one_loss_of_those_who_have_a_label():
    logits = torch.randn(3, 6)
    targets = MANY.targets([(1, (0.0, 1.0), (2.5,)), (2, (), UNKNOWN), (UNKNOWN, UNKNOWN, (-1.0,))])
    verb = F.cross_entropy(logits[:2, :3], torch.tensor([1, 2]))
    wanted = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    tags = F.binary_cross_entropy_with_logits(logits[:2, 3:5], wanted, reduction="sum") / 2
    speed = F.mse_loss(logits[[0, 2], 5], torch.tensor([2.5, -1.0]))
    torch.testing.assert_close(objective(logits, targets, MANY), (verb + tags + speed) / 3)
    smooth = objective(logits, targets, MANY, smoothing=0.5) - objective(logits, targets, MANY)
    assert abs(float(smooth)) > 1e-3
    number = Labels((MANY.heads[2],))
    torch.testing.assert_close(objective(logits[:, 5:], targets[:, 5:], number, smoothing=0.5), speed)


def test_a_mixed_target_costs_the_mixture_of_both_losses():
    logits, targets = torch.randn(4, 3), torch.eye(3)[[0, 1, 2, 0]]
    labels = Labels.single(("a", "b", "c"))
    mixed = objective(logits, 0.3 * targets + 0.7 * targets.flip(0), labels, smoothing=0.1)
    both = [objective(logits, t, labels, smoothing=0.1) for t in (targets, targets.flip(0))]
    torch.testing.assert_close(mixed, 0.3 * both[0] + 0.7 * both[1])


def test_class_weights_are_those_of_the_targets_classes():
    logits, classes = torch.randn(4, 3), torch.tensor([[0], [1], [2], [0]])
    labels, weight = Labels.single(("a", "b", "c")), torch.tensor([0.5, 2.0, 0.0])
    expected = F.cross_entropy(logits, classes[:, 0], weight)
    torch.testing.assert_close(cross_entropy(logits, classes, labels, weights=[weight]), expected)


def test_class_numbers_and_targets_are_two_forms_of_the_same():
    numbers = torch.tensor([[0, 1], [2, UNKNOWN], [UNKNOWN, 0]])
    targets = dense_targets(numbers, LABELS)
    torch.testing.assert_close(targets, LABELS.targets(numbers.tolist()), equal_nan=True)
    assert torch.equal(class_numbers(targets, LABELS), numbers)
    assert dense_targets(targets, LABELS) is targets
    many = MANY.targets([(1, (0.0,), (2.5,))])
    assert class_numbers(many, MANY).tolist() == [[1, UNKNOWN, UNKNOWN]]


def test_every_kind_of_head_has_a_prior_which_no_constant_answer_passes():
    said = [
        (0, (0.0, 1.0), (1.0,)), (1, (0.0,), (4.0,)), (1, (), UNKNOWN), (UNKNOWN, (0.0,), (4.0,)),
        (1, UNKNOWN, (7.0,)),
    ]  # fmt: skip
    samples = [Sample(path=Path(), labels=labels) for labels in said]
    verb = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    tags = 2 * verb  # x holds for 3 of 4 clips, y for 1 of 4
    speed = (9 + 0 + 0 + 9) / 4
    prior = prior_entropy(samples, MANY)
    assert prior == pytest.approx((verb + tags + speed) / 3)
    targets = MANY.targets(said)
    logit = math.log(3)
    constant = torch.tensor([0.0, logit, -100.0, logit, -logit, 4.0])
    assert float(objective(constant.expand(5, 6), targets, MANY)) == pytest.approx(prior)
    assert batch_entropy(targets, MANY) == pytest.approx(prior)
    for _ in range(20):
        other = constant + 0.3 * torch.randn(6)
        assert float(objective(other.expand(5, 6), targets, MANY)) > prior
    assert verdict(prior, prior) is not None
    assert verdict(0.9 * prior, prior) is None


def test_a_head_that_nobody_labelled_has_a_prior_of_0_as_its_loss():
    samples = [
        Sample(path=Path(), labels=(0, UNKNOWN, UNKNOWN)),
        Sample(path=Path(), labels=(1, UNKNOWN, UNKNOWN)),
    ]
    assert prior_entropy(samples, MANY) == pytest.approx(math.log(2) / 3)
    assert batch_entropy(MANY.targets([s.labels for s in samples]), MANY) == pytest.approx(math.log(2) / 3)
