"""Regularisation in a whole run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.clips import write_motion
from tests.training.runs import FACTORISED, JOINT, VIEW, log_of, run_of, same, weights_of
from tubelet.data.dataset import ClipDataset
from tubelet.distributed import Processes
from tubelet.errors import ConfigError
from tubelet.training import Frozen, Optimizer, train
from tubelet.training.mirror import Mirror
from tubelet.training.stage import Split

AUGMENTED = replace(VIEW, flip=True, rand_augment=(2, 10), erase=0.5, colour=(0.8, 0.1))
MIXED: dict[str, Any] = {"mixup": 0.3, "cutmix": 1.0, "replicas": 2, "model": replace(JOINT, drop_path=0.2)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("few"), 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"view": AUGMENTED, "flip_swaps": (("left", "right"),), "clips_per_video": 2, **MIXED},
        {"model": FACTORISED, "frozen": Frozen(epochs=1, draws=2), "view": AUGMENTED, "ema": 0.9},
        {
            "replicas": 4,
            "optimizer": Optimizer(
                kind="sgd", lr=0.01, weight_decay=0.0, l2=1e-3, explicit_decay=1e-3, sam=0.05, clip="per_replica",
                warmup_steps=1.5,
            ),
        },
    ],
)  # fmt: skip
def test_a_run_with_it_is_the_same_twice(small: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    runs = [run_of(small, tmp_path / name, epochs=1, **fields) for name in "ab"]
    one, other = (train(run, progress=False) for run in runs)
    assert same(one, other)
    (end,) = log_of(runs[0].out, "finished")
    assert 0 < end["train_loss"] < 5


def test_clips_per_video_make_longer_epochs_of_the_same_batches(small: Path, tmp_path: Path) -> None:
    run = run_of(small, tmp_path / "out", clips_per_video=4)
    split = Split.open(run, "train", Processes())
    assert len(split.samples) == 8
    assert [len(batch.labels) for batch in split.loader] == [8, 8, 8, 8]
    assert [len(batch.labels) for batch in Split.open(run, "val", Processes()).loader] == [8]


def test_a_mirror_is_for_training_clips_alone(small: Path, tmp_path: Path) -> None:
    run = run_of(small, tmp_path / "out", view=AUGMENTED, flip_swaps=(("left", "right"),))
    found: dict[str, Any] = {}
    for split in ("train", "val"):
        dataset = Split.open(run, split, Processes()).loader.dataset
        assert isinstance(dataset, ClipDataset)
        found[split] = dataset.mirror
    assert found["val"] is None
    assert isinstance(found["train"], Mirror)
    assert found["train"]((0,)) == (1,)
    with pytest.raises(ConfigError, match="'up' and 'down'"):
        train(replace(run, flip_swaps=(("up", "down"),)), progress=False)


def test_the_average_is_what_is_validated_and_kept(small: Path, tmp_path: Path) -> None:
    run = run_of(small, tmp_path / "out", epochs=1, ema=0.999)
    kept = train(run, progress=False)
    (file,) = (run.out / "checkpoints").iterdir()
    saved = torch.load(file, weights_only=True)
    for name, tensor in kept.model.state_dict().items():
        torch.testing.assert_close(tensor, saved["average"]["weights"][name])
    assert any(not torch.equal(a, b) for a, b in zip(weights_of(kept), saved["model"].values(), strict=True))
    assert saved["average"]["updates"] == 1
