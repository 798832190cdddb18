"""Stopped anywhere and started again, a run ends with the same bits as one that was never stopped."""

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.clips import write_motion
from tests.training.runs import FACTORISED, JOINT, VIEW, log_of, run_of, same, story_of
from tubelet.classifier import Classifier
from tubelet.errors import TubeletError
from tubelet.training import Frozen, Partial, Pretrained, Train, checkpoint, train
from tubelet.training.step import Step
from tubelet.weights.start import Start

KILLS = int(os.environ.get("TUBELET_KILLS", "3"))
"""`make soak` kills more often."""

AUGMENTED = replace(
    VIEW, resize=36, jitter=(0.9, 1.3), flip=True, rand_augment=(1, 5.0), colour=(0.8, 0.1), erase=0.2
)
RANDOM: dict[str, Any] = {
    "model": replace(JOINT, dropout=0.1, drop_path=0.1, depth=1), "view": AUGMENTED, "epochs": 3, "batch_size": 4,
    "replicas": 2, "mixup": 0.3, "cutmix": 1.0, "ema": 0.9, "save_steps": 1, "log_steps": 2,
}  # fmt: skip
"""Everything that is drawn at random, drawn."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_motion(tmp_path_factory.mktemp("few"), 7)
    (root / "train/left/broken.mp4").write_bytes(b"nothing")
    return root


def stopped_at(monkeypatch: pytest.MonkeyPatch, run: Train, calls: list[int]) -> Classifier:
    """Train, falling dead before the given numbers of steps, counted over all lives, and starting again."""
    take, count, due = Step.__call__, 0, list(calls)

    def dying(*args: Any) -> Any:
        nonlocal count
        if count in due:
            due.remove(count)
            raise SystemExit
        count += 1
        return take(*args)

    monkeypatch.setattr(Step, "__call__", dying)
    for _ in calls:
        with pytest.raises(SystemExit):
            train(run, progress=False)
    done = train(run, progress=False)
    monkeypatch.undo()
    return done


@pytest.mark.parametrize("save_steps", [1, 3, None])
def test_the_main_stage(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_steps: int | None):
    run = run_of(root, tmp_path / "whole", **RANDOM)
    whole = train(run, progress=False)
    parts = replace(run, out=tmp_path / "parts", save_steps=save_steps)
    assert same(whole, stopped_at(monkeypatch, parts, [0, 2, 5, 9]))
    assert story_of(run.out) == story_of(parts.out)
    assert len(log_of(run.out, "unreadable")) == 1


def test_the_frozen_stage_and_those_after(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frozen = Frozen(epochs=2, draws=2, batch_size=4)
    partial = Partial(blocks=1, epochs=1)
    stages: dict[str, Any] = {"frozen": frozen, "partial": partial, "epochs": 2}
    run = run_of(root, tmp_path / "whole", model=FACTORISED, save_steps=1, **stages)
    whole = train(run, progress=False)
    parts = replace(run, out=tmp_path / "parts")
    assert same(whole, stopped_at(monkeypatch, parts, [3, 8, 10]))  # 4 steps of an epoch, then 2
    assert story_of(run.out) == story_of(parts.out)


def test_adapters(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("peft")
    train(run_of(root, tmp_path / "start", epochs=1), progress=False)
    start = Pretrained(file=tmp_path / "start", rules=Start(heads="kept"))
    run = run_of(root, tmp_path / "whole", init=start, lora=2, epochs=2, save_steps=1)
    whole = train(run, progress=False)
    assert same(whole, stopped_at(monkeypatch, replace(run, out=tmp_path / "parts"), [1]))


def life(run: Train) -> None:
    """A process of its own that trains until it is killed or done."""
    torch.set_num_threads(1)
    train(run, progress=False)


def killed(run: Train, kills: int, seconds: float, seed: int) -> int:
    """Train in processes that are killed at random moments, until so many died and one came to the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tubelet.training", "tests.training.runs"])
    generator, died = random.Random(seed), 0
    while True:
        process = context.Process(target=life, args=(run,))
        process.start()
        if died < kills:
            process.join(generator.uniform(0, seconds))
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:
            return died
        assert process.exitcode == -signal.SIGKILL, "it ended by itself"
        died += 1


def test_killed_at_random_moments(root: Path, tmp_path: Path):
    run = run_of(root, tmp_path / "whole", **RANDOM)
    began = time.monotonic()
    killed(run, 0, 0.0, 0)
    seconds = time.monotonic() - began
    deaths = lives = 0
    while deaths < KILLS:
        parts = replace(run, out=tmp_path / f"parts{lives}")
        deaths += killed(parts, KILLS - deaths, 0.8 * seconds, lives)
        assert same(Classifier.load(run.out), Classifier.load(parts.out))
        assert story_of(run.out) == story_of(parts.out)
        left = {file.name for file in parts.out.iterdir()} ^ {file.name for file in run.out.iterdir()}
        assert not left, "nothing half written stays"
        lives += 1


def test_ctrl_c_saves_and_says_how_to_go_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run = replace(run_of(root, tmp_path / "whole", **RANDOM), save_steps=None)
    whole = train(run, progress=False)
    take, handler = Step.__call__, signal.getsignal(signal.SIGINT)

    def interrupted(step: Step, number: int, *args: Any) -> Any:
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return take(step, number, *args)

    monkeypatch.setattr(Step, "__call__", interrupted)
    parts = replace(run, out=tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(parts)
    monkeypatch.undo()
    assert "saved after 6 steps. The same command goes on" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler
    assert same(whole, train(parts, progress=False))
    assert log_of(parts.out, "resumed")[0]["step"] == 2


def test_a_full_disk_stops_the_run_and_the_last_checkpoint_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = run_of(root, tmp_path / "whole", **RANDOM)
    whole = train(run, progress=False)
    save, count = checkpoint.Checkpoints.save, 0

    def full(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count == 6:
            monkeypatch.setattr(checkpoint.os, "fsync", no_room)
        return save(*args)

    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.Checkpoints, "save", full)
    parts = replace(run, out=tmp_path / "parts")
    with pytest.raises(TubeletError, match="No space left on device"):
        train(parts, progress=False)
    monkeypatch.undo()
    assert same(whole, train(parts, progress=False))
    assert story_of(run.out) == story_of(parts.out)


def test_a_damaged_newest_checkpoint_is_left_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = run_of(root, tmp_path / "whole", **RANDOM)
    whole = train(run, progress=False)
    story = story_of(run.out)
    newest = sorted((run.out / "checkpoints").iterdir())[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert same(whole, train(run))
    assert f"The checkpoint {newest.name} is damaged" in capsys.readouterr().out
    assert story_of(run.out) == story
