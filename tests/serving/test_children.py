"""A child that dies of a video is an answer, and everything else lives on."""

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.made import clip, tiny
from tubelet.serving import child, wire
from tubelet.serving.decoders import Decoders
from tubelet.serving.limits import Limits
from tubelet.serving.metrics import Metrics
from tubelet.serving.problems import Problem
from tubelet.serving.task import Task

VIEW = tiny().view


@pytest.fixture(scope="module")
def decoders():
    made = Decoders(Metrics())
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("videos") / "a.mp4", frames=300)


def task(kind: str = "clips", **fields: object) -> Task:
    return Task(
        **{"kind": kind, "name": "a.mp4", "view": VIEW, "limits": Limits(), "wall_seconds": 60.0, **fields}
    )


def started(decoders: Decoders, video: Path, seconds: float = 60.0, **fields: object):
    with video.open("rb") as file:
        return decoders.child(task(**fields), file, time.monotonic() + seconds)


def pid_of(decoders: Decoders, before: set[str]) -> int:
    """The child that was forked since."""
    while not (fresh := children(decoders) - before):
        time.sleep(0.01)
    return int(fresh.pop())


def children(decoders: Decoders) -> set[str]:
    assert decoders._process is not None
    pid = decoders._process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGXCPU])
def test_a_child_that_is_killed(decoders: Decoders, video: Path, number: signal.Signals) -> None:
    """Windows wait in the pipe until somebody reads them, so the child is there to be killed."""
    before = children(decoders)
    view = task().view
    running = started(
        decoders, video, kind="timeline", hop=1, view=view.from_dict({**view.to_dict(), "size": 256})
    )
    pid = pid_of(decoders, before)
    messages = running.messages()
    assert isinstance(next(messages), wire.Opened)
    os.kill(pid, number)
    with pytest.raises(Problem) as caught:
        list(messages)
    assert caught.value.status == 422
    assert caught.value.message.startswith("a.mp4: ")
    assert len(list(started(decoders, video).messages())) == 3


def test_time_is_limited(decoders: Decoders, video: Path) -> None:
    running = started(decoders, video, seconds=0.0)
    with pytest.raises(Problem) as caught:
        list(running.messages())
    assert caught.value.status == 504


def test_processor_time_is_limited(decoders: Decoders, tmp_path: Path) -> None:
    from tests.serving.made import noise

    long = noise(tmp_path / "long.mp4", 150, 720, 1280)
    slow = replace(VIEW, stride=1, interpolation="antialiased_bilinear")
    running = started(decoders, long, kind="timeline", hop=1, view=slow, limits=Limits(decoder_seconds=1))
    with pytest.raises(Problem, match="1 s of a processor"):
        list(running.messages())


def test_a_child_that_is_not_wanted_is_killed(decoders: Decoders, video: Path) -> None:
    before = children(decoders)
    running = started(decoders, video, kind="timeline", hop=1)
    pid_of(decoders, before)
    running.kill()
    with pytest.raises(Problem):
        list(running.messages())
    until = time.monotonic() + 20
    while children(decoders) - before and time.monotonic() < until:
        time.sleep(0.02)
    assert children(decoders) == before


def test_a_lost_zygote_is_started_anew(decoders: Decoders, video: Path) -> None:
    assert decoders._process is not None
    os.kill(decoders._process.pid, signal.SIGKILL)
    decoders._process.wait()
    with suppress(Problem):  # the socket may still have taken the task
        list(started(decoders, video).messages())
    assert len(list(started(decoders, video).messages())) == 3


def test_a_child_sees_no_key(decoders: Decoders, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoders._process is not None
    names = Path(f"/proc/{decoders._process.pid}/environ").read_bytes()
    assert b"TUBELET" not in names
    assert b"PYTEST" not in names


def test_a_child_gives_rights_up(tmp_path: Path) -> None:
    """In a process of its own: limits cannot be taken back."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            child.limit(task())
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            try:
                (tmp_path / "written").write_bytes(b"x")
            except OSError:
                code = 0
            if code == 0:
                try:
                    bytearray(3 * 2**30)
                    code = 2
                except MemoryError:
                    pass
            if code == 0 and len(opened_until_refused()) > child.MOST_OPEN:
                code = 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def opened_until_refused() -> list[int]:
    found: list[int] = []
    try:
        while len(found) < 1000:
            found.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    return found


def test_letting_go_waits_for_who_reads(decoders: Decoders, video: Path) -> None:
    """The pipe's number must not become another's while somebody reads from it."""
    before = children(decoders)
    running = started(decoders, video, kind="timeline", hop=1)
    pid = pid_of(decoders, before)
    os.kill(pid, signal.SIGSTOP)
    outcome: list[BaseException | None] = []

    def read() -> None:
        try:
            list(running.messages())
            outcome.append(None)
        except Problem as problem:
            outcome.append(problem)

    reading = threading.Thread(target=read)
    reading.start()
    while not running._reading.locked():
        time.sleep(0.01)
    running.close()
    reading.join(30)
    assert not reading.is_alive()
    assert isinstance(outcome[0], Problem)
    assert running._pipe == -1
    assert not running.has_more()
