import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.clips import write_motion
from tests.training.runs import FACTORISED, VIEW, lines_of, log_of, run_of, same
from tubelet.classifier import Classifier
from tubelet.errors import ConfigError, DataError, TubeletError
from tubelet.evaluation import evaluate
from tubelet.training import Frozen, Optimizer, Partial, Pretrained, prepare, train
from tubelet.weights.start import Start


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("motion"), 24)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("few"), 4)


def test_learns_motion_that_no_frame_shows(root: Path, tmp_path: Path):
    run = run_of(root, tmp_path / "out", epochs=20)
    classifier = train(run, progress=False)
    assert evaluate(classifier, run.data, "val", progress=False).top1 > 0.9
    (end,) = log_of(run.out, "finished")
    assert end["warning"] is None
    assert end["train_loss"] < 0.35 < end["prior_entropy"]
    assert same(classifier, Classifier.load(run.out))
    assert classifier.labels == run.data.labels
    assert classifier.view == VIEW


def test_one_batch_over_fits_far_below_the_entropy_of_its_labels(small: Path, tmp_path: Path):
    fields = {"epochs": 40, "label_smoothing": 0.0, "optimizer": Optimizer(lr=3e-3)}
    train(run_of(small, tmp_path / "out", **fields), progress=False)
    assert log_of(tmp_path / "out", "finished")[0]["train_loss"] < 0.05


def test_a_run_that_learns_nothing_says_so(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train(run_of(small, tmp_path / "out", epochs=1, optimizer=Optimizer(lr=1e-9)))
    assert "Nothing learned" in capsys.readouterr().out
    assert "class frequencies" in log_of(tmp_path / "out", "finished")[0]["warning"]


def test_the_same_run_twice_gives_the_same_weights(small: Path, tmp_path: Path):
    fields = {"model": FACTORISED, "frozen": Frozen(epochs=1, draws=1), "epochs": 1}
    assert same(*(train(run_of(small, tmp_path / n, **fields), progress=False) for n in ("a", "b")))


def test_the_frozen_stage_leaves_the_spatial_encoder_but_its_last_norm(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", model=FACTORISED, frozen=Frozen(epochs=2, draws=2), epochs=0)
    before, after = prepare.build_model(run)[0], train(run, progress=False).model
    changed = {
        name
        for (name, old), new in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
        if not torch.equal(old, new)
    }
    assert {n for n in changed if n.startswith(("spatial", "embedding"))} == {
        "spatial.norm.weight",
        "spatial.norm.bias",
    }
    assert "head.weight" in changed


def test_the_frozen_stage_may_mix_its_vectors(small: Path, tmp_path: Path):
    fields = {"model": FACTORISED, "epochs": 0}
    plain, mixed, again = (
        train(
            run_of(small, tmp_path / name, frozen=Frozen(epochs=2, draws=2, mixup=mixup), **fields),
            progress=False,
        )
        for name, mixup in (("plain", None), ("mixed", 0.3), ("again", 0.3))
    )
    assert same(mixed, again)
    assert not same(plain, mixed)


def test_only_the_last_blocks_learn(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", trainable_blocks=1, epochs=1)
    before, after = prepare.build_model(run)[0].state_dict(), train(run, progress=False).model.state_dict()
    assert torch.equal(
        before["encoder.blocks.0.mlp.layer.fc1.weight"], after["encoder.blocks.0.mlp.layer.fc1.weight"]
    )
    assert torch.equal(before["embedding.weight"], after["embedding.weight"])
    name = "encoder.blocks.1.mlp.layer.fc1.weight"
    assert not torch.equal(before[name], after[name])


def test_stages_follow_each_other(small: Path, tmp_path: Path):
    """Frozen, then partial, then full: what each may move, it moves, and nothing else."""
    part = Partial(
        blocks=1, epochs=3, optimizer=Optimizer(lr=1e-3)
    )  # the first step moves the new head alone
    model = replace(FACTORISED, depth=2)
    run = run_of(small, tmp_path / "part", model=model, partial=part, epochs=0)
    before, after = prepare.build_model(run)[0].state_dict(), train(run, progress=False).model.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("embedding", "spatial.blocks.0", "spatial.positions")) for name in moved)
    assert any(name.startswith("spatial.blocks.1.") for name in moved)
    assert {"head.weight", "spatial.norm.weight"} <= moved
    frozen = Frozen(epochs=1, draws=1)
    part = replace(part, epochs=1)
    whole = run_of(small, tmp_path / "whole", model=model, frozen=frozen, partial=part, epochs=1)
    train(whole, progress=False)
    assert [(line["stage"], line["epoch"]) for line in log_of(whole.out, "epoch")] == [
        ("frozen", 1), ("partial", 1), ("main", 1),
    ]  # fmt: skip
    log = (whole.out / "log.jsonl").read_text()
    train(whole, progress=False)  # done already
    assert "stage" not in [line["event"] for line in lines_of(whole.out)[len(log.splitlines()) :]]


def test_mirrored_labels_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    clips = write_motion(tmp_path / "clips", 1)
    run = run_of(clips, tmp_path / "out", view=replace(VIEW, flip=True), epochs=1)
    train(run)
    assert '--flip-swaps "left" "right"' in " ".join(capsys.readouterr().out.split())
    train(replace(run, out=tmp_path / "mended", flip_swaps=(("left", "right"),)))
    assert "mirrored" not in capsys.readouterr().out


def test_only_adapters_and_head_learn_and_are_saved_merged(small: Path, tmp_path: Path):
    pytest.importorskip("peft")
    train(run_of(small, tmp_path / "start", epochs=1), progress=False)
    start = Pretrained(file=tmp_path / "start", rules=Start(heads="kept"))
    run = run_of(small, tmp_path / "whole", init=start, lora=2, epochs=2)
    before = {k: v.clone() for k, v in Classifier.load(tmp_path / "start").model.state_dict().items()}
    whole = train(run, progress=False)
    after = whole.model.state_dict()
    assert list(after) == list(before), "a plain model"
    changed = {
        name for name in after if not name.startswith("head.") and not torch.equal(after[name], before[name])
    }
    assert changed
    assert all(name.endswith((".query.weight", ".value.weight")) for name in changed)


def test_nothing_that_a_user_made_is_overwritten(small: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no run"):
        train(run_of(small, tmp_path / "mine"), progress=False)
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    run = run_of(small, tmp_path / "out", epochs=1)
    train(run, progress=False)
    with pytest.raises(ConfigError, match="batch_size: 8 there, 4 here"):
        train(replace(run, batch_size=4), progress=False)
    again = train(replace(run, workers=1), progress=False)  # done already: nothing is learned again
    assert same(again, Classifier.load(run.out))
    assert len(log_of(run.out, "epoch")) == 1


def test_an_unreadable_clip_is_named_once_and_counted(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "data"
    write_motion(root, 2)
    (root / "train/left/broken.mp4").write_bytes(b"nothing")
    model, frozen = FACTORISED, Frozen(epochs=1, draws=2)
    train(run_of(root, tmp_path / "out", model=model, frozen=frozen, epochs=2))
    assert len(log_of(tmp_path / "out", "unreadable")) == 1
    assert log_of(tmp_path / "out", "finished")[0]["unreadable"] == 1
    assert capsys.readouterr().out.count("Unreadable, left out") == 1


def test_no_readable_clip_is_an_error(tmp_path: Path):
    write_motion(tmp_path / "data", 1)
    for file in (tmp_path / "data/train").rglob("*.mp4"):
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the training clips"):
        train(run_of(tmp_path / "data", tmp_path / "out"), progress=False)


def test_patience_ends_a_run(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", epochs=6, patience=1, optimizer=Optimizer(lr=1e-9))
    train(run, progress=False)
    assert len(log_of(run.out, "epoch")) < 6


def test_a_loss_that_is_no_number_ends_a_run(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", optimizer=Optimizer(lr=1e30, clip_norm=None), epochs=5)
    with pytest.raises(TubeletError, match="try a lower learning rate"):
        train(run, progress=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"class_weights": "balanced"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"checkpoint_activations": True},
    ],
)
def test_options_run(small: Path, tmp_path: Path, fields: dict[str, Any]):
    train(run_of(small, tmp_path / "out", epochs=1, **fields), progress=False)
    assert len(log_of(tmp_path / "out", "epoch")) == 1
