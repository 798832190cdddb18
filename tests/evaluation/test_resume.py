"""Killed, interrupted, or shared by two processes: the numbers of one whole evaluation."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.clips import write_motion
from tests.evaluation.motion import classifier_of
from tubelet.data.folders import Folders
from tubelet.errors import DataError
from tubelet.evaluation import evaluate, journal, read_results

CLASSES = ("right", "left")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_motion(tmp_path_factory.mktemp("motion"), 9, ("test",))
    (root / "test/left/broken.mp4").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    evaluate(classifier_of(CLASSES), Folders(root=root), chunk=12, out=out, progress=False)
    return out


def said(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and metrics, without the time they took."""
    rows = [json.loads(line) for line in (out / "videos.jsonl").read_text().splitlines()]
    metrics = json.loads((out / "metrics.json").read_text())
    for one in (*rows, metrics):
        one.pop("seconds", None), one.pop("seconds_per_video", None)
    return rows, metrics


def slowly(root: Path, out: Path) -> None:
    """An evaluation in a process of its own, that takes its time after every batch."""
    torch.set_num_threads(1)
    write = journal.Part.write

    def late(*arguments: Any) -> None:
        write(*arguments)
        time.sleep(0.2)

    journal.Part.write = late  # type: ignore[method-assign]
    evaluate(classifier_of(CLASSES), Folders(root=root), chunk=12, out=out, progress=False)


def processes(jobs: list[tuple[Any, ...]]) -> list[multiprocessing.context.ForkServerProcess]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tubelet.evaluation", "tests.evaluation.motion", "tubelet.data.folders"])
    members = [context.Process(target=job, args=arguments) for job, *arguments in jobs]
    for process in members:
        process.start()
    return members


def test_killed(root: Path, whole: Path, tmp_path: Path):
    """By SIGKILL, twice, and half a line left behind: the same to the bit, and nothing computed twice."""
    out = tmp_path / "out"
    for lines in (2, 6):
        (process,) = processes([(slowly, root, out)])
        while sum(len(file.read_text().splitlines()) for file in out.glob("*.jsonl")) < lines:
            assert process.is_alive()
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    with pytest.raises(DataError, match="is not finished"):
        read_results(out)
    (part,) = out.glob("part-*.jsonl")
    kept = {
        json.loads(line)["index"] for file in out.glob("*.jsonl") for line in file.read_text().splitlines()
    }
    assert 6 <= len(kept) < 19
    with part.open("a") as opened:
        opened.write('{"index": 18, "vid')
    asked: list[int] = []
    classifier = classifier_of(CLASSES)
    run = classifier.run
    classifier.run = lambda pixels, *rest: (asked.append(len(pixels)), run(pixels, *rest))[1]  # type: ignore[method-assign]
    report = evaluate(classifier, Folders(root=root), chunk=12, out=out, progress=False)
    assert said(out) == said(whole)
    assert sum(asked) == 6 * (18 - len(kept - {row.index for row in report.results.failed}))
    assert sorted(f.name for f in out.iterdir()) == sorted(f.name for f in whole.iterdir())
    asked.clear()
    again = evaluate(classifier, Folders(root=root), chunk=12, out=out, progress=False)
    assert (again, asked) == (report, []), "finished: read again, not computed"


def test_interrupted(
    root: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    out, write = tmp_path / "out", journal.Part.write

    def stop(part: journal.Part, rows: Any) -> None:
        write(part, rows)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(journal.Part, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(classifier_of(CLASSES), Folders(root=root), chunk=12, out=out)
    monkeypatch.undo()
    told = capsys.readouterr().err
    assert "Interrupted: 2 of 19 videos are done and kept in" in told
    assert "The same command goes on" in told
    evaluate(classifier_of(CLASSES), Folders(root=root), chunk=12, out=out)
    assert "2 of 19 videos were done" in capsys.readouterr().err
    assert said(out) == said(whole)


def test_other_settings_are_refused_and_named(root: Path, whole: Path, tmp_path: Path):
    classifier, source = classifier_of(CLASSES), Folders(root=root)
    before = said(whole)
    with pytest.raises(DataError, match=r"the views: 2x3 there, 1x1 here\s+what is averaged: logits there"):
        evaluate(classifier, source, views="1x1", average="probabilities", out=whole)
    other = classifier_of(CLASSES)
    with torch.no_grad():
        other.model.head.bias[0] += 1e-3
    with pytest.raises(DataError, match="the model: "):
        evaluate(other, source, out=whole)
    with pytest.raises(
        DataError,
        match=r"the tokens left out: None there, \{'merge': 0\.1, 'drop': None, 'drop_frames': None\} here",
    ):
        evaluate(classifier.with_fewer_tokens(merge=0.1), source, out=whole)
    fewer = tmp_path / "fewer"
    for label in ("left", "right"):
        (fewer / "test" / label).mkdir(parents=True)
        (fewer / "test" / label / "a.mp4").write_bytes((root / "test" / label / "00.mp4").read_bytes())
    with pytest.raises(DataError, match="the videos and their labels: "):
        evaluate(classifier, Folders(root=fewer), out=whole)
    with pytest.raises(DataError, match="holds no evaluation, and is not overwritten"):
        evaluate(classifier, source, out=fewer)
    assert said(whole) == before
    numbered = evaluate(classifier, Folders(root=fewer), out=whole, number=True, progress=False)
    assert numbered.results.folder == whole.with_name("out-2")
    again = evaluate(classifier, Folders(root=fewer), out=whole, number=True, progress=False)
    assert again.results.folder == numbered.results.folder


def member(rank: int, store: Path, root: Path, outs: list[Path | None]) -> None:
    """One of two processes that evaluate together."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for out in outs:
        report = evaluate(classifier_of(CLASSES), Folders(root=root), chunk=12, out=out, progress=False)
        assert report.heads[0].videos == 18
        if out is None:
            numbers = [report.to_dict() | {"seconds_per_video": 0}]
            dist.all_gather_object(both := [None, None], numbers)
            assert both[0] == both[1]
    dist.destroy_process_group()


def test_two_processes(root: Path, whole: Path, tmp_path: Path):
    """Together from the start, going on where one was stopped, and without a folder."""
    fresh, begun = tmp_path / "fresh", tmp_path / "begun"
    begun.mkdir()
    (begun / "manifest.json").write_bytes((whole / "manifest.json").read_bytes())
    lines = (whole / "videos.jsonl").read_text().splitlines(keepends=True)
    (begun / "part-0.jsonl").write_text("".join(lines[:5]))
    jobs = [(member, rank, tmp_path / "store", root, [fresh, begun, None]) for rank in range(2)]
    members = processes(jobs)
    for process in members:
        process.join()
    assert [process.exitcode for process in members] == [0, 0]
    assert said(fresh) == said(whole) == said(begun)
    assert json.loads((fresh / "manifest.json").read_text())["processes"] == 2


def test_results_from_before_there_was_drop_frames(root: Path, tmp_path: Path) -> None:
    classifier = classifier_of(CLASSES).with_fewer_tokens(merge=0.1)
    evaluate(classifier, Folders(root=root), out=tmp_path / "results", progress=False)
    file = tmp_path / "results" / "manifest.json"
    values = json.loads(file.read_text())
    assert values["fewer_tokens"].pop("drop_frames", "absent") is None
    file.write_text(json.dumps(values))
    evaluate(
        classifier, Folders(root=root), out=tmp_path / "results", progress=False
    )  # the same, and all there
