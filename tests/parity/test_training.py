"""Schedule, losses, mixup, clipping and whole training steps against numbers recorded from the official code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.parity.test_scenic import cases, config_of, pixels
from tubelet.labels import Head, Kind, Labels
from tubelet.models.vivit import ViViT
from tubelet.training import step as steps
from tubelet.training.loss import objective
from tubelet.training.mixing import mixup
from tubelet.training.optimizer import Optimizer, build_optimizer, has_l2, set_lr
from tubelet.training.schedule import lr_factor
from tubelet.training.step import Learning, Step, clip_gradient, groups_of
from tubelet.weights import scenic
from tubelet.weights.files import flatten, read_msgpack
from tubelet.weights.rename import read


def of_case(path: Path, case: str) -> dict[str, Tensor]:
    with np.load(path) as stored:
        return {
            key.split("/", 1)[1]: torch.from_numpy(np.asarray(value))
            for key, value in stored.items()
            if key.startswith(f"{case}/")
        }


def heads(*counts: int, kind: Kind = "single") -> Labels:
    return Labels(tuple(Head(f"head {n}", tuple(map(str, range(k))), kind) for n, k in enumerate(counts)))


def test_learning_rates(golden: Path) -> None:
    """All recorded points, the restart of the cosine at the end of the cycle included, to 1e-6."""
    facts = json.loads((golden / "functions" / "info.json").read_text())["learning_rate"]
    assert len(facts) == 4
    for name, fact in facts.items():
        settings = Optimizer(lr=fact["base_learning_rate"], warmup_steps=fact["warmup_steps"])
        recorded = of_case(golden / "functions" / "learning_rate.npz", name)
        assert len(recorded["step"]) >= 20
        for step, lr in zip(recorded["step"].tolist(), recorded["lr"].tolist(), strict=True):
            assert settings.lr * lr_factor(step, fact["steps_per_cycle"], settings) == pytest.approx(
                lr, abs=1e-6
            )


@pytest.mark.parametrize("case", ["0", "1", "2", "3"])
def test_losses(golden: Path, case: str) -> None:
    values = of_case(golden / "functions" / "loss.npz", case)
    logits, mask = values["logits"], values["mask"]
    smoothing = max(float(values["label_smoothing"]), 0.0)
    single, multi = heads(logits.shape[1]), heads(logits.shape[1], kind="multi")
    found = {
        "softmax_ce_onehot": objective(logits, values["onehot"], single, smoothing=smoothing),
        "softmax_ce_onehot_masked": objective(
            logits, values["onehot"], single, smoothing=smoothing, weights=mask
        ),
        "softmax_ce_soft": objective(logits, values["soft"], single, smoothing=smoothing),
        "sigmoid_ce": objective(logits, values["multihot"], multi, smoothing=smoothing),
        "sigmoid_ce_masked": objective(logits, values["multihot"], multi, smoothing=smoothing, weights=mask),
    }
    for name, loss in found.items():
        torch.testing.assert_close(loss, values[name], rtol=1e-6, atol=0)
    for row, expected in enumerate(values["softmax_ce_per_example"]):
        alone = objective(logits[row : row + 1], values["onehot"][row : row + 1], single, smoothing=smoothing)
        torch.testing.assert_close(alone, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", [c for c in cases("forward") if c.startswith("multi")] or ["absent"])
def test_losses_of_several_heads_and_labels(golden: Path, name: str) -> None:
    """Of whole models, masked and not."""
    folder = golden / "forward" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = {k: torch.from_numpy(v) for k, v in np.load(folder / "io.npz").items()}
    smoothing = case["train"]["label_smoothing"] or 0.0
    labels = heads(
        *case.get("class_splits", [case["num_classes"]]), kind="multi" if "label" in name else "single"
    )
    for key, weights in (("loss", recorded["batch_mask"]), ("loss_no_mask", None)):
        loss = objective(recorded["logits"], recorded["label"], labels, smoothing=smoothing, weights=weights)
        torch.testing.assert_close(loss, recorded[key], rtol=1e-5, atol=0)


@pytest.mark.parametrize("case", ["0", "1"])
def test_mixup(golden: Path, case: str) -> None:
    values = of_case(golden / "functions" / "mixup.npz", case)
    video, targets = mixup(pixels(values["inputs"].numpy()), values["label"], float(values["lam"]))
    torch.testing.assert_close(video, pixels(values["mixed_inputs"].numpy()), rtol=0, atol=1e-6)
    torch.testing.assert_close(targets, values["mixed_label"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_clipping(golden: Path, case: str) -> None:
    values = of_case(golden / "functions" / "clip_grads.npz", case)
    parameters = [torch.nn.Parameter(torch.zeros_like(values[name])) for name in "ab"]
    for parameter, name in zip(parameters, "ab", strict=True):
        parameter.grad = values[name].clone()
    norm = clip_gradient(parameters, float(values["max_norm"]))
    torch.testing.assert_close(norm, torch.cat([values["a"].flatten(), values["b"]]).norm())
    for parameter, name in zip(parameters, "ab", strict=True):
        torch.testing.assert_close(parameter.grad, values[f"clipped_{name}"], rtol=1e-6, atol=1e-8)


def parameters_of(file: Path, case: dict[str, Any], momentum: bool = False) -> dict[str, Tensor]:
    """A checkpoint's parameters, or their momentum, by our names."""
    tree: Any = read_msgpack(file)
    tree = tree["optimizer"]["state"]["param_states"] if momentum else tree["optimizer"]["target"]
    parameters = {name.removesuffix("/momentum"): tensor for name, tensor in flatten(tree).items()}
    factorised = case["attention_type"] == "factorized_self_attention_block"
    renamed, unknown = read(parameters, scenic.table(len(case["patches"]) == 2, factorised))
    assert not unknown
    return {r.ours: r.tensor for r in renamed}


def test_l2_counts_what_the_official_code_counts(golden: Path) -> None:
    """Every parameter with more than one axis there, for every recorded training."""
    for name in cases("training"):
        folder = golden / "training" / name
        case = json.loads((folder / "config.json").read_text())
        tree: Any = read_msgpack(folder / "checkpoint_before")
        theirs = flatten(tree["optimizer"]["target"])
        renamed, _ = read(
            theirs, scenic.table(False, case["attention_type"] == "factorized_self_attention_block")
        )
        for row in renamed:
            ours = torch.nn.Parameter(row.tensor)
            assert has_l2(row.ours, ours) == (theirs[row.theirs].ndim > 1), row.ours


def training_of(case: dict[str, Any], model: ViViT) -> tuple[Step, Optimizer]:
    """The step that a recorded training took."""
    facts = case["training"]
    settings = Optimizer(
        kind="sgd",
        lr=facts["lr"]["base_learning_rate"],
        warmup_steps=facts["lr"]["warmup_steps"],
        betas=(facts["momentum"], 0.0),
        weight_decay=0.0,
        l2=facts["l2_decay_factor"] or 0.0,
        explicit_decay=facts.get("explicit_weight_decay", 0.0),
        clip_norm=facts.get("max_grad_norm"),
        clip="per_replica" if facts.get("max_grad_norm") else "global",
        sam=facts.get("sam_rho"),
    )
    multi = case.get("model_name", "").startswith("vivit_multilabel")
    learning = Learning(
        labels=heads(*model.config.classes, kind="multi" if multi else "single"),
        optimizer=settings,
        seed=0,
        label_smoothing=facts.get("label_smoothing") or 0.0,
        mixup=facts.get("mixup", {}).get("alpha"),
    )
    return Step(model, model, build_optimizer(model, settings), learning), settings


@pytest.mark.parametrize("name", cases("training"))
def test_training_steps(golden: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates, objectives of each replica, first gradients, and parameters and momentum after the last step."""
    folder = golden / "training" / name
    case = json.loads((folder / "config.json").read_text())
    recorded = np.load(folder / "io.npz")
    facts = case["training"]
    if "fixed_mixup_lambda" in facts:
        monkeypatch.setattr(
            steps, "mix_group", lambda video, targets, *_: mixup(video, targets, facts["fixed_mixup_lambda"])
        )
    model, _ = scenic.load_scenic(folder / "checkpoint_before", config_of(case))
    model.train()
    step, settings = training_of(case, model)
    replicas, first = facts["replicas"], {}

    def note(*_: Any) -> None:
        if not first:
            first.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    for name in ("uphill", "clip_gradient"):  # the recorded gradient is from before both
        original = getattr(steps, name)
        monkeypatch.setattr(
            steps, name, lambda *arguments, original=original: (note(), original(*arguments))[1]
        )
    step.optimizer.register_step_pre_hook(note)
    for number in range(facts["steps"]):
        lr = settings.lr * lr_factor(number, facts["lr"]["steps_per_cycle"], settings)
        assert lr == pytest.approx(float(recorded["lr_per_step"][number]), abs=1e-7)
        set_lr(step.optimizer, lr)
        targets = torch.from_numpy(recorded["label"][number])
        groups = groups_of(pixels(recorded["video"][number]), targets, case["batch"] // replicas)
        losses = step(number, groups, replicas)
        expected = recorded["loss_per_step_and_replica"][number].tolist()
        assert [loss.objective for loss in losses] == pytest.approx(expected, rel=1e-5)
    norm = torch.stack([g.square().sum() for g in first.values()]).sum().sqrt()
    assert float(norm) == pytest.approx(float(recorded["grad_norm_step0_replica0"]), rel=1e-5)
    theirs = {
        k.removeprefix("grad_step0:"): torch.from_numpy(recorded[k]) for k in recorded.files if "0:" in k
    }
    renamed, unknown = read(
        theirs, scenic.table(False, case["attention_type"] == "factorized_self_attention_block")
    )
    assert not unknown
    assert {row.ours for row in renamed} == set(first)
    for row in renamed:
        torch.testing.assert_close(first[row.ours], row.tensor, rtol=0, atol=1e-5 * float(norm))
    after = parameters_of(folder / "checkpoint_after", case)
    momentum = parameters_of(folder / "checkpoint_after", case, momentum=True)
    assert set(after) == set(momentum) == {n for n, _ in model.named_parameters()}
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), after[key], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            step.optimizer.state[parameter]["momentum_buffer"], momentum[key], rtol=0, atol=2e-5
        )
    moved = parameters_of(folder / "checkpoint_before", case)["head.weight"] - after["head.weight"]
    assert float(moved.abs().max()) > 1e-3  # a step that does nothing is no match
