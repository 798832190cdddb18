import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_motion
from tests.training.runs import log_of, run_of
from tubelet.errors import ConfigError
from tubelet.training import train


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
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    root, out = write_motion(tmp_path / "data", 2), tmp_path / "out"
    train(run_of(root, out, tensorboard=True, epochs=2, batch_size=2, log_steps=1), progress=False)
    found = events.EventAccumulator(str(out / "tensorboard")).Reload()
    steps, epochs = log_of(out, "step"), log_of(out, "epoch")
    assert (len(steps), len(epochs)) == (4, 2)
    wanted = {
        **{
            name: [(line["step"], line[name.removeprefix("step_")]) for line in steps]
            for name in ("step_loss", "lr")
        },
        **{
            name: [(2 * line["epoch"], line[name]) for line in epochs]
            for name in ("train_loss", "val_loss", "val_top1")
        },
    }
    assert set(found.Tags()["scalars"]) == set(wanted)
    for name, points in wanted.items():
        written = [(point.step, point.value) for point in found.Scalars(name)]
        assert written == [(step, pytest.approx(value, rel=1e-6)) for step, value in points], name
