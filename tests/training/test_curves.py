import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.clips import write_motion
from tests.training.runs import log_of, run_of
from tubelet.errors import ConfigError
from tubelet.training import train
from tubelet.training.curves import Curves


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_motion(tmp_path / "data", 1)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"wandb, which is not installed: pip install 'tubelet\[wandb\]'"):
        train(run_of(root, tmp_path / "out", wandb="clips"), progress=False)


def test_curves_go_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_motion(tmp_path / "data", 2)
    sent: list[tuple[str, int | None]] = []

    class Run:
        def log(self, values: dict[str, float], step: int) -> None:
            sent.extend((name, step) for name in values)

        def finish(self) -> None:
            sent.append(("finished", None))

    def init(**settings: Any) -> Run:
        assert settings["project"] == "clips"
        assert settings["config"]["epochs"] == 1
        return Run()

    module = types.ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    train(run_of(root, tmp_path / "out", wandb="clips", epochs=1, batch_size=2, log_steps=1), progress=False)
    names = ["train_loss", "val_loss", "val_top1"]
    assert sent == [
        *((name, step) for step in (1, 2) for name in ("step_loss", "lr")),
        *((name, 2) for name in names),
        ("finished", None),
    ]


def test_tensorboard_holds_the_numbers_of_the_log(tmp_path: Path):
    root, out = write_motion(tmp_path / "data", 2), tmp_path / "out"
    train(run_of(root, out, tensorboard=True, epochs=2, batch_size=2, log_steps=1), progress=False)
    wanted: dict[str, list[tuple[int, Any]]] = {}
    for line in log_of(out, "step"):
        for name, curve in (("loss", "step_loss"), ("lr", "lr")):
            wanted.setdefault(curve, []).append((line["step"], pytest.approx(line[name], rel=1e-6)))
    for line in log_of(out, "epoch"):
        for name in ("train_loss", "val_loss", "val_top1"):
            wanted.setdefault(name, []).append((2 * line["epoch"], pytest.approx(line[name], rel=1e-6)))
    found = EventAccumulator(str(out / "tensorboard")).Reload()
    read = {name: [(p.step, p.value) for p in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert read == wanted
    assert [len(read[name]) for name in ("step_loss", "val_top1")] == [4, 2]


def test_tensorboard_takes_back_what_comes_again(tmp_path: Path):
    run = run_of(tmp_path, tmp_path / "out", tensorboard=True)
    for taken, steps in ((0, (1, 2, 3, 4)), (2, (3, 4, 5))):
        curves = Curves(run, taken)
        for step in steps:
            curves.add(step, {"lr": step + taken})
        curves.close()
    found = EventAccumulator(str(run.out / "tensorboard")).Reload()
    assert [(p.step, p.value) for p in found.Scalars("lr")] == [(1, 1), (2, 2), (3, 5), (4, 6), (5, 7)]
