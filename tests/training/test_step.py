"""Properties of a training step; the recorded official steps are in tests/parity/test_training.py."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import TubeletError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.training.optimizer import Optimizer, build_optimizer, decays, has_l2
from tubelet.training.step import Group, Learning, Step, groups_of, nothing, uphill

CONFIG = ViViTConfig(
    attention="factorised_encoder", frames=2, size=8, tubelet=(2, 4, 4), width=8, depth=2, heads=2, hidden=8,
    temporal_depth=1, classes=(3,), dropout=0.1, attention_dropout=0.1, drop_path=0.3,
)  # fmt: skip
STILL = replace(CONFIG, dropout=0.0, attention_dropout=0.0, drop_path=0.0)
SGD = Optimizer(kind="sgd", lr=0.5, weight_decay=0.0, clip_norm=None)
LABELS = Labels.single(("a", "b", "c"))


def model_of(config: ViViTConfig = CONFIG) -> ViViT:
    """The same random model each time, its head included, whose gradients would else be zero."""
    generator = torch.Generator().manual_seed(5)
    model = ViViT(config, generator).train()
    torch.nn.init.normal_(model.head.weight, std=0.5, generator=generator)
    return model


def step_of(
    model: ViViT, optimizer: Optimizer = SGD, reduce: Callable[[], None] = nothing, **fields: Any
) -> Step:
    learning = Learning(labels=LABELS, optimizer=optimizer, seed=3, **fields)
    return Step(model, model, build_optimizer(model, optimizer), learning, reduce)


def batch_of(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.eye(3)[torch.randint(3, (count,), generator=generator)]
    return torch.randn(count, 2, 3, 8, 8, generator=generator), targets


def same(one: ViViT, other: ViViT, **tolerance: float) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0.0, "atol": 0.0}))


@pytest.mark.parametrize(
    "optimizer",
    [
        replace(SGD, clip_norm=0.3),
        replace(SGD, clip_norm=0.3, clip="per_replica", l2=0.01),
        replace(SGD, sam=0.1, l2=0.01, explicit_decay=0.1),
    ],
)
def test_the_number_of_processes_is_no_hyper_parameter(optimizer: Optimizer) -> None:
    """Four groups in one process, and two in each of two, with dropout, stochastic depth, mixup and cutmix on."""
    fields = {"mixup": 0.3, "cutmix": 1.0, "label_smoothing": 0.1}
    alone, first, second = (model_of() for _ in range(3))
    whole, other = step_of(alone, optimizer, **fields), step_of(second, optimizer, **fields)
    waiting: list[Group] = []
    losses: list[float] = []

    def reduce() -> None:  # what an all-reduce does, with the second process's gradients computed on the spot
        other.optimizer.zero_grad()
        losses.extend(other.add_gradient(number, group, 4).loss for group in waiting)
        for one, two in zip(first.parameters(), second.parameters(), strict=True):
            assert one.grad is not None
            assert two.grad is not None
            one.grad.add_(two.grad)

    half = step_of(first, optimizer, reduce, **fields)
    for number in range(2):
        groups = groups_of(*batch_of(12, number), 3)
        expected = [loss.loss for loss in whole(number, groups, 4)]
        waiting, losses = groups[2:], []
        found = [loss.loss for loss in half(number, groups[:2], 4)]
        second.load_state_dict(first.state_dict())
        assert found + losses == pytest.approx(expected, abs=1e-6)
        same(alone, first, rtol=0, atol=1e-6)


def test_draws_belong_to_seed_step_and_group_alone() -> None:
    step = step_of(model_of(), mixup=1.0)
    inputs, targets = batch_of(3)

    def loss(number: int, group: int) -> float:
        return step.add_gradient(number, Group(number=group, inputs=inputs, targets=targets), 2).loss

    first = loss(0, 0)
    torch.rand(7)  # what else is drawn makes no difference
    before = torch.get_rng_state()
    assert loss(0, 0) == first
    assert torch.equal(torch.get_rng_state(), before)  # and nothing else sees the step's own draws
    assert len({first, loss(0, 1), loss(1, 0), loss(1, 1)}) == 4


def test_a_step_of_several_groups_has_the_mean_of_their_gradients() -> None:
    inputs, targets = batch_of(8)
    one, several = model_of(STILL), model_of(STILL)
    (whole,) = step_of(one)(0, groups_of(inputs, targets, 8), 1)
    parts = step_of(several)(0, groups_of(inputs, targets, 2), 4)
    assert sum(part.loss for part in parts) / 4 == pytest.approx(whole.loss, abs=1e-6)
    assert [part.clips for part in parts] == [2, 2, 2, 2]
    same(one, several, rtol=1e-4, atol=1e-5)


def test_clipping_per_replica_is_global_clipping_for_one_group_and_not_for_two() -> None:
    inputs, targets = batch_of(6)
    limits = [replace(SGD, clip_norm=0.2, clip=place) for place in ("global", "per_replica")]
    for size, equal in ((6, True), (3, False)):
        models = [model_of(STILL), model_of(STILL)]
        for model, limit in zip(models, limits, strict=True):
            step_of(model, limit)(0, groups_of(inputs, targets, size), 6 // size)
            pairs = zip(model.parameters(), model_of(STILL).parameters(), strict=True)
            moved = [(p - q).detach().flatten() for p, q in pairs]
            norm = float(torch.cat(moved).norm()) / 0.5
            assert norm == pytest.approx(0.2, rel=1e-4) if limit.clip == "global" or equal else norm < 0.199
        pairs = zip(*(model.parameters() for model in models), strict=True)
        difference = max(float((p - q).detach().abs().max()) for p, q in pairs)
        assert (difference < 1e-6) == equal


def test_sam_takes_the_gradient_uphill_and_comes_back() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    parameter.grad = torch.tensor([0.6, 0.8]) * 7
    with uphill([parameter], 0.5):
        torch.testing.assert_close(parameter.detach(), torch.tensor([3.3, 4.4]))
    assert parameter.tolist() == [3.0, 4.0]
    inputs, targets = batch_of(4)
    far, near, plain = (model_of() for _ in range(3))  # both passes have the same dropout
    for model, rho in ((far, 0.5), (near, 1e-8), (plain, None)):
        step_of(model, replace(SGD, sam=rho))(0, groups_of(inputs, targets, 4), 1)
    same(near, plain, rtol=1e-3, atol=1e-4)
    with pytest.raises(AssertionError):
        same(far, plain, rtol=1e-2, atol=1e-3)


def test_l2_is_in_the_objective_and_its_gradient_is_what_counts() -> None:
    inputs, targets = batch_of(4)
    model, reference = model_of(STILL), model_of(STILL)
    (loss,) = step_of(model, replace(SGD, l2=0.1))(0, groups_of(inputs, targets, 4), 1)
    counted = [p for name, p in reference.named_parameters() if has_l2(name, p)]
    names = {name for name, p in reference.named_parameters() if has_l2(name, p)}
    assert {
        "spatial.blocks.0.attention.layer.query.bias",
        "spatial.class_token",
        "spatial.positions.table",
    } <= names
    assert not names & {"head.bias", "spatial.blocks.0.attention.layer.out.bias", "spatial.norm.weight"}
    said = torch.nn.functional.cross_entropy(reference(inputs), targets)
    term = 0.05 * torch.stack([p.square().sum() for p in counted]).sum()
    assert loss.loss == pytest.approx(float(said.detach()), abs=1e-5)
    assert loss.objective == pytest.approx(float((said + term).detach()), abs=1e-5)
    (said + term).backward()
    for (name, p), q in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert q.grad is not None, name
        torch.testing.assert_close(p.detach(), q.detach() - 0.5 * q.grad, rtol=0, atol=1e-5)


def test_explicit_decay_shrinks_matrices_after_the_update() -> None:
    inputs, targets = batch_of(4)
    plain, decayed = model_of(STILL), model_of(STILL)
    step_of(plain)(0, groups_of(inputs, targets, 4), 1)
    step_of(decayed, replace(SGD, explicit_decay=0.2))(0, groups_of(inputs, targets, 4), 1)
    for (name, p), q in zip(plain.named_parameters(), decayed.parameters(), strict=True):
        torch.testing.assert_close(q, p * (0.9 if decays(name, p) else 1.0))


def test_a_loss_that_is_no_number_updates_nothing() -> None:
    inputs, targets = batch_of(4)
    model = model_of()
    with pytest.raises(TubeletError, match="loss is nan"):
        step_of(model)(0, groups_of(inputs * torch.nan, targets, 2), 2)
    same(model, model_of())


def test_weights_leave_clips_out() -> None:
    inputs, targets = batch_of(4)
    step = step_of(model_of(STILL))
    half = step.add_gradient(0, Group(number=0, inputs=inputs[:2], targets=targets[:2]), 1)
    weights = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert step.add_gradient(
        0, Group(number=0, inputs=inputs, targets=targets, weights=weights), 1
    ).loss == pytest.approx(half.loss)
