"""The number of processes is no hyper-parameter: one, two, and two with a divided model, on the CPU."""

import multiprocessing
import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.clips import write_motion
from tests.training.runs import FACTORISED, JOINT, log_of, run_of, same, story_of, weights_of
from tubelet import distributed
from tubelet.classifier import Classifier
from tubelet.distributed import Processes
from tubelet.errors import ConfigError, TubeletError
from tubelet.labels import Labels
from tubelet.models.vivit import ViViT
from tubelet.training import Frozen, Optimizer, Train, train
from tubelet.training.optimizer import build_optimizer
from tubelet.training.step import Group, Learning, Step

SOURCE = Path(distributed.__file__).parent

KILLS = int(os.environ.get("TUBELET_KILLS", "3"))
"""`make soak` kills more often, and processes that divide the model too."""
DIVIDED = [False, True] if "TUBELET_KILLS" in os.environ else [False]
VICTIMS = ((0, 1), (1,), (0,))
"""Who is killed, in turn: both, or one alone."""
SOON = 20.0
"""Seconds after which one that is left alone must have ended."""


@dataclass(frozen=True)
class Job:
    """A training, whole or falling dead before a step."""

    run: Train
    dies_before: int | None = None


def member(rank: int, count: int, store: Path, jobs: list[Job]) -> None:
    """One of several processes that do trainings together."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    take = Step.__call__
    for job in jobs:
        taken = 0

        def dying(step: Step, *args: Any, job: Job = job) -> Any:
            nonlocal taken
            if taken == job.dies_before:
                raise InterruptedError
            taken += 1
            return take(step, *args)

        Step.__call__ = dying  # type: ignore[method-assign]
        try:
            train(job.run, progress=False)
        except InterruptedError:
            assert job.dies_before is not None
        else:
            assert job.dies_before is None
    dist.destroy_process_group()


def started(target: Callable[..., None], *args: Any, count: int = 2) -> list[Any]:
    """Processes that know their rank and how many they are, under way."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tubelet.training", "tests.training.runs"])
    members = [context.Process(target=target, args=(rank, count, *args)) for rank in range(count)]
    for process in members:
        process.start()
    return members


def together(store: Path, jobs: list[Job], count: int = 2) -> None:
    """Do trainings in several processes."""
    members = started(member, store, jobs, count=count)
    for process in members:
        process.join()
    assert [process.exitcode for process in members] == [0] * count


def live(rank: int, count: int, store: Path, run: Train) -> None:
    """One of several processes that train together, as under torchrun, until they are killed or done."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    join = dist.init_process_group

    def meet(backend: str) -> None:
        join(backend, init_method=f"file://{store}", rank=rank, world_size=count)
        store.with_suffix(f".{rank}").touch()

    dist.init_process_group = meet
    train(run, progress=False)


def lived(
    store: Path, run: Train, victims: Sequence[int] = (), after: float = 0.0
) -> tuple[list[int], float]:
    """Train in two processes, of which some are killed, seconds after all have met.

    Returns:
        How each ended, and the seconds from when they had met to the last one's end.
    """
    members = started(live, store, run)
    try:
        while not all(store.with_suffix(f".{rank}").exists() for rank in range(2)):
            assert all(process.is_alive() for process in members), "they never met"
            time.sleep(0.01)
        began = time.monotonic()
        if victims:
            members[0].join(after)
        for rank in victims:
            members[rank].kill()
        for process in members:
            process.join(SOON if victims else None)
        assert not any(process.is_alive() for process in members), "one that is left alone waits for ever"
        return [process.exitcode for process in members], time.monotonic() - began
    finally:
        for process in members:
            process.kill()


def numbers_of(out: Path) -> list[list[float]]:
    steps = [[line["loss"], line["lr"]] for line in log_of(out, "step")]
    epochs = [[line["train_loss"], line["val_loss"], line["val_top1"]] for line in log_of(out, "epoch")]
    return [*steps, *epochs]


def test_one_two_and_two_with_a_divided_model_are_the_same(tmp_path: Path):
    root = write_motion(tmp_path / "data", 7)
    (root / "train/right/broken.mp4").write_bytes(b"nothing")
    (root / "val/left/broken.mp4").write_bytes(b"nothing")
    fields: dict[str, Any] = {
        "epochs": 2, "batch_size": 4, "replicas": 2, "mixup": 0.3, "ema": 0.9, "log_steps": 1, "save_steps": 2,
        "model": replace(JOINT, dropout=0.1, drop_path=0.1), "optimizer": Optimizer(lr=2e-3, clip_norm=0.5, l2=1e-3),
    }  # fmt: skip
    one = run_of(root, tmp_path / "one", **fields)
    two = replace(one, out=tmp_path / "two")
    divided = replace(one, out=tmp_path / "divided", sharded=True)
    # 4 steps of an epoch. Both die in the first one; then each goes on in another way.
    to_divided = replace(one, out=tmp_path / "to_divided")
    to_one = replace(divided, out=tmp_path / "to_one")
    killed = replace(one, out=tmp_path / "killed")
    frozen = run_of(
        root, tmp_path / "frozen", model=FACTORISED, frozen=Frozen(epochs=1, draws=1, batch_size=4), epochs=1,
        batch_size=4, replicas=2,
    )  # fmt: skip
    half = replace(divided, out=tmp_path / "half", precision="fp16")
    jobs = [
        Job(two), Job(divided), Job(to_divided, dies_before=3), Job(replace(to_divided, sharded=True)),
        Job(to_one, dies_before=3), Job(killed, dies_before=5), Job(killed), Job(frozen), Job(half),
    ]  # fmt: skip
    together(tmp_path / "store", jobs)
    train(one, progress=False)
    train(replace(to_one, sharded=False), progress=False)
    expected = numbers_of(one.out)
    assert len(expected) == 8 + 2
    for run in (two, divided, to_divided, to_one, killed):
        for found, wanted in zip(numbers_of(run.out), expected, strict=True):
            assert found == pytest.approx(wanted, abs=1e-5), run.out.name
        names = [Path(line["video"]).parts[-3:] for line in log_of(run.out, "unreadable")]
        wanted_names = [("train", "right", "broken.mp4"), ("val", "left", "broken.mp4")]
        assert sorted(names) == wanted_names, run.out.name
        a, b = Classifier.load(one.out), Classifier.load(run.out)
        for mine, theirs in zip(weights_of(a), weights_of(b), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    a, b = Classifier.load(two.out), Classifier.load(killed.out)
    assert all(torch.equal(x, y) for x, y in zip(weights_of(a), weights_of(b), strict=True)), "to the bit"
    for found, wanted in zip(numbers_of(half.out), expected, strict=True):
        assert found == pytest.approx(wanted, abs=5e-4), "half precision"
    alone = replace(frozen, out=tmp_path / "alone")
    train(alone, progress=False)
    for found, wanted in zip(numbers_of(frozen.out), numbers_of(alone.out), strict=True):
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("sharded", DIVIDED)
def test_killed_at_random_moments(tmp_path: Path, sharded: bool):
    root = write_motion(tmp_path / "data", 7)
    whole = run_of(
        root, tmp_path / "whole", epochs=2, batch_size=4, replicas=2, mixup=0.3, ema=0.9, save_steps=1,
        log_steps=2, model=replace(JOINT, dropout=0.1, drop_path=0.1, depth=1), sharded=sharded,
    )  # fmt: skip
    ends, seconds = lived(tmp_path / "meeting", whole)
    assert ends == [0, 0]
    generator, deaths, runs = random.Random(sharded), 0, 0
    while deaths < KILLS:
        parts, ends = replace(whole, out=tmp_path / f"parts{runs}"), []
        while ends != [0, 0]:
            victims = VICTIMS[deaths % len(VICTIMS)] if deaths < KILLS else ()
            store = tmp_path / f"meeting{runs}-{deaths}"
            ends, _ = lived(store, parts, victims, generator.uniform(0, 0.8 * seconds))
            if ends != [0, 0]:
                deaths += 1
                left = {end for rank, end in enumerate(ends) if rank not in victims}
                assert {ends[rank] for rank in victims} <= {0, -signal.SIGKILL}
                assert left <= {0, 1}
                assert 0 not in left or log_of(parts.out, "finished"), "an error, unless it had all it needed"
        assert same(Classifier.load(whole.out), Classifier.load(parts.out))
        assert story_of(whole.out) == story_of(parts.out)
        runs += 1


def overflow(rank: int, count: int, store: Path) -> None:
    """One of several processes that divide a model, of which the last alone meets a gradient that is no number."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    labels, settings = Labels.single(("a", "b")), Optimizer(lr=1e-2)
    model = ViViT(replace(JOINT, classes=labels.classes), torch.Generator().manual_seed(0))
    distributed.shard(model, model.encoder.blocks, Processes(rank=rank, count=count))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    learning = Learning(labels=labels, optimizer=settings, seed=0, autocast=torch.float16)
    step = Step(model, model, build_optimizer(model, settings), learning, scaler=scaler)

    def spoil() -> None:
        if rank == count - 1:
            distributed.local(model.head.weight.grad)[-1, 0] = torch.inf

    group = Group(number=rank, inputs=torch.rand(1, 8, 3, 32, 32), targets=torch.eye(2)[rank : rank + 1])
    start = [distributed.whole(p.detach()).clone() for p in model.parameters()]
    for reduce, learns in ((spoil, False), (lambda: None, True)):
        step.reduce = reduce
        step(0, [group], count)
        now = [distributed.whole(p.detach()) for p in model.parameters()]
        assert all(map(torch.equal, start, now)) is not learns
        assert scaler.get_scale() == 512.0
    dist.destroy_process_group()


def test_a_process_that_meets_too_large_a_gradient_stops_the_update_of_all(tmp_path: Path):
    members = started(overflow, tmp_path / "store")
    for process in members:
        process.join()
    assert [process.exitcode for process in members] == [0, 0]


def test_groups_that_cannot_be_shared_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_motion(tmp_path / "data", 1)

    class Three:
        def __enter__(self) -> Processes:
            return Processes(count=3)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("tubelet.training.loop.processes", lambda _: Three())
    with pytest.raises(ConfigError, match=r"replicas=2 groups .* among 3 processes"):
        train(run_of(root, tmp_path / "out", replicas=2), progress=False)


def test_one_process_asks_nobody():
    who = Processes()
    assert who.sums(1, 2.5) == [1, 2.5]
    assert who.gather("a") == ["a"]
    assert who.from_first(lambda: 3) == 3

    def fail() -> None:
        raise TubeletError("no")

    with pytest.raises(TubeletError, match="no"):
        who.from_first(fail)


def test_tensors_travel_in_few_messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "BUCKET", 10)
    tensors = [torch.zeros(n) for n in (4, 5, 3, 12)]
    tensors.append(torch.zeros(1, dtype=torch.float64))
    assert [[len(t) for t in bucket] for bucket in distributed.buckets(tensors)] == [[4, 5], [3], [12], [1]]


def test_only_one_file_knows_how_processes_talk():
    names = re.compile(r"torch\.distributed|\bDTensor\b|fully_shard|DistributedDataParallel")
    found = {str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py") if names.search(file.read_text())}
    assert found == {"distributed.py"}
