from pathlib import Path

import pytest

from tests.clips import write_motion
from tubelet.cli import train
from tubelet.training.config import Train

FLAGS = [
    "--frames",
    "4",
    "--size",
    "32",
    "--workers",
    "0",
    "--mixup",
    "0.3",
    "--cutmix",
    "1",
    "--view.colour",
    "0.8",
    "0.1",
    "--view.rand-augment",
    "2",
    "10",
    "--view.erase",
    "0.25",
    "--model.drop-path",
    "0.1",
    "--flip-swaps",
    "left",
    "right",
    "--clips-per-video",
    "2",
    "--replicas",
    "4",
    "--optimizer.sam",
    "0.05",
    "--ema",
    "0.999",
]


def test_regularisation_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Train] = []
    monkeypatch.setattr("tubelet.training.loop.train", seen.append)
    root = write_motion(tmp_path / "clips", 1)
    arguments = ["folder", "--data.root", str(root), "--out", str(tmp_path / "out"), *FLAGS]
    assert train.main("tubelet train", arguments) == 0
    (run,) = seen
    assert (run.mixup, run.cutmix, run.ema, run.replicas, run.clips_per_video) == (0.3, 1.0, 0.999, 4, 2)
    assert (run.view.colour, run.view.rand_augment, run.view.erase) == ((0.8, 0.1), (2, 10.0), 0.25)
    assert run.flip_swaps == (("left", "right"),)
    assert run.optimizer.sam == 0.05
    assert run.model.drop_path == 0.1
