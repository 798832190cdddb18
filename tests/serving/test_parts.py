"""The parts of a server that need no model: messages, keys, names, paths, folders."""

import asyncio
import os
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.serving.made import tiny
from tubelet.cli.serve import named_models
from tubelet.errors import ConfigError
from tubelet.serving import wire
from tubelet.serving.access import Access
from tubelet.serving.limits import Limits
from tubelet.serving.metrics import Metrics
from tubelet.serving.places import open_below
from tubelet.serving.problems import Problem
from tubelet.serving.scratch import Scratch
from tubelet.serving.settings import Settings, read_keys
from tubelet.serving.worker import Worker

VIEW = tiny().view
KEY = "a-key-of-the-tests"


def receiver(data: bytes, limits: Limits | None = None) -> wire.Receiver:
    left = memoryview(data)

    def read_into(buffer: memoryview) -> None:
        nonlocal left
        if len(left) < len(buffer):
            raise EOFError
        buffer[:] = left[: len(buffer)]
        left = left[len(buffer) :]

    return wire.Receiver(read_into, VIEW, limits or Limits())


def sent(message: wire.Message) -> bytes:
    return b"".join(bytes(part) for part in wire.parts_of(message))


def test_messages_arrive_as_they_were_sent() -> None:
    pixels = torch.randint(0, 255, (6, 4, 3, 16, 16), dtype=torch.uint8)
    indices = np.arange(8).reshape(2, 4)
    clips = receiver(sent(wire.Clips(pixels, indices, indices / 25, 3.0))).next()
    assert isinstance(clips, wire.Clips)
    assert torch.equal(clips.pixels, pixels)
    assert (clips.indices == indices).all()
    assert (clips.seconds == indices / 25).all()
    window = receiver(sent(wire.Window(pixels[0], indices[0], 1.0, 2.0, 3))).next()
    assert isinstance(window, wire.Window)
    assert torch.equal(window.pixels, pixels[0])
    assert (window.start_seconds, window.end_seconds, window.stretch) == (1.0, 2.0, 3)
    for message in (
        wire.Opened(None, 3, 4), wire.Opened(2.0, 3, 4), wire.End((1.0, 2.5)), wire.Trouble("decode", "Grüße"),
    ):  # fmt: skip
        assert receiver(sent(message)).next() == message


@pytest.mark.parametrize(
    ("kind", "whole", "numbers"),
    [
        (9, (), ()),
        (wire.CLIPS, (6, 4, 3, 16, 17, 2), (1.0,)),
        (wire.CLIPS, (6, 5, 3, 16, 16, 2), (1.0,)),
        (wire.CLIPS, (6, 4, 3, 16, 16, 0), (1.0,)),
        (wire.CLIPS, (2**40, 4, 3, 16, 16, 2**40), (1.0,)),
        (wire.WINDOW, (-4, 3, 16, 16, 0), (0.0, 1.0)),
        (wire.TROUBLE, (0, 2**30), ()),
        (wire.TROUBLE, (7, 0), ()),
        (wire.END, (2**40,), ()),
        (wire.OPENED, (0, 0), (1.0,)),
    ],
)
def test_what_no_child_says_is_refused_before_it_is_read(kind: int, whole: Any, numbers: Any) -> None:
    with pytest.raises(wire.ForgedError):
        receiver(wire.header(kind, whole, numbers) + bytes(10**6)).next()
    with pytest.raises(wire.ForgedError):
        receiver(b"x" * 1000).next()


def test_numbers_that_cannot_be_are_refused() -> None:
    pixels = torch.zeros(2, 4, 3, 16, 16, dtype=torch.uint8)
    seconds = np.full((2, 4), np.nan)
    with pytest.raises(wire.ForgedError):
        receiver(sent(wire.Clips(pixels, np.zeros((2, 4), np.int64), seconds, 1.0))).next()
    with pytest.raises(wire.ForgedError):
        receiver(sent(wire.Window(pixels[0], np.full(4, -1), 0.0, 1.0, 0))).next()


def test_an_address_for_others_needs_keys() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(ConfigError, match="TUBELET_KEYS"):
            Settings(host=host)
        assert Settings(host=host, keys=(KEY,)).exposed
    for host in ("127.0.0.1", "::1", "localhost"):
        assert not Settings(host=host).exposed
    with pytest.raises(ConfigError, match="fewer than 16"):
        Settings(keys=("short",))
    assert KEY not in repr(Settings(keys=(KEY,)))


def test_keys_of_files(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the page\n{KEY}\n\n  another-key-of-tests  \n")
    assert read_keys(file, "third-key-of-tests, 4") == (
        KEY,
        "another-key-of-tests",
        "third-key-of-tests",
        "4",
    )
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "no", "")


def test_models_have_names() -> None:
    assert named_models([]) == {"camera-motion": "camera-motion"}
    assert named_models(["runs/mine", "b=x/y=z.onnx"]) == {"mine": "runs/mine", "b": "x/y=z.onnx"}
    with pytest.raises(ConfigError, match="Two models are called mine"):
        named_models(["runs/mine", "mine=other"])
    with pytest.raises(ConfigError, match="letters"):
        named_models(["a b=x"])


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/fails":
        raise RuntimeError("secret")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def ask(
    settings: Settings, path: str, method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """A request at the door."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    given = {"host": "localhost:8000", **headers}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"key=secret",
        "headers": [(k.encode(), v.encode()) for k, v in given.items()], "client": ("1.2.3.4", 5),
    }  # fmt: skip
    app = Access(inner, settings, Metrics(), lambda path: path in ("/", "/health", "/ready"))
    asyncio.run(app(scope, receive, send))
    found = {k.decode(): v.decode() for k, v in told[0]["headers"]}
    return told[0]["status"], found, told[1]["body"]


def test_who_has_no_key_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    keys = Settings(host="0.0.0.0", keys=(KEY,), admin_keys=("an-administrators-key",))
    bearing = {"authorization": f"Bearer {KEY}"}
    for path in ("/predict", "/models", "/samples", "/samples/a.mp4", "/metrics", "/docs"):
        status, headers, _ = ask(keys, path, "GET")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert ask(keys, path, authorization=f"Bearer {KEY}x")[0] == 401
        assert ask(keys, path, authorization=KEY)[0] == 401
        assert ask(keys, path, **bearing)[0] == 200
    for path in ("/", "/health", "/ready"):
        assert ask(keys, path, "GET")[0] == 200
    assert ask(keys, "/models/x", **bearing)[0] == 401
    assert ask(keys, "/models/x", authorization="Bearer an-administrators-key")[0] == 200
    assert ask(Settings(), "/models/x")[0] == 403
    assert ask(Settings(keys=(KEY,)), "/metrics", "GET")[0] == 200
    assert ask(Settings(), "/predict")[0] == 200


def test_only_by_its_own_name() -> None:
    """A page elsewhere whose name leads to this machine is not answered, nor one that posts from elsewhere."""
    for host in ("localhost", "127.0.0.1:80", "[::1]:8000", "[::1]"):
        assert ask(Settings(), "/predict", host=host)[0] == 200
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        assert ask(Settings(), "/", "GET", host=host)[0] == 403
    assert ask(Settings(allow_hosts=("video.example",)), "/", host="video.example:8000")[0] == 200
    assert ask(Settings(), "/predict", origin="https://evil.example")[0] == 403
    assert ask(Settings(), "/predict", origin="null")[0] == 403
    assert ask(Settings(), "/predict", origin="http://localhost:8000")[0] == 200


def test_headers_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tubelet.serving"):
        _, headers, _ = ask(Settings(), "/predict", authorization="Bearer secret")
        status, _, body = ask(Settings(), "/fails")
    assert headers["content-security-policy"].startswith(
        "default-src 'self'; media-src 'self' blob:; img-src"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    assert status == 500
    assert b"secret" not in body
    lines = [r.getMessage() for r in caplog.records if r.name.endswith("access")]
    assert len(lines) == 2
    assert '"status": 200' in lines[0]
    assert "secret" not in "".join(lines)


def test_paths_stay_below_their_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.mp4").write_bytes(b"video")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outside").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "sub" / "a.mp4")
    os.mkfifo(root / "pipe")
    for good in ("sub/a.mp4", "in", "sub/./a.mp4"):
        with open_below(root, good, 100) as file:
            assert file.read() == b"video"
    for bad in (
        "../secret", "sub/../../secret", str(tmp_path / "secret"), "out", "outside/secret", "pipe", "sub", "", ".",
        "a\0.mp4", "sub\n", "C:\\x",
    ):  # fmt: skip
        with pytest.raises(Problem) as caught:
            open_below(root, bad, 100)
        assert caught.value.kind == "refused", bad
        assert str(tmp_path) not in caught.value.message or bad == str(tmp_path / "secret")
    with pytest.raises(Problem, match="There is no"):
        open_below(root, "sub/b.mp4", 100)
    with pytest.raises(Problem) as caught:
        open_below(root, "sub/a.mp4", 4)
    assert caught.value.status == 413


def test_leftovers_of_dead_servers_are_removed(tmp_path: Path) -> None:
    shared = tmp_path / "scratch"
    living = Scratch(shared)
    dead = shared / "server-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "overlay.mp4").write_bytes(b"x")
    with Scratch(shared) as later:
        assert not dead.exists()
        assert living.folder.exists()
        with later.file() as file:
            file.write(b"x")
            assert sorted(f.name for f in later.folder.iterdir()) == ["lock"]
    assert not later.folder.exists()
    living.close()
    (tmp_path / "link").symlink_to(shared)
    with pytest.raises(ConfigError, match="somebody else"):
        Scratch(tmp_path / "link")


def worker(**settings: Any) -> Worker:
    fields = {
        "batch": 4,
        "wait_seconds": 0.0,
        "coming": lambda: 0,
        "threads": lambda: 1,
        "metrics": Metrics(),
    }
    made = Worker(tiny(), "m", **{**fields, **settings})
    made.start()
    return made


def some_clips(count: int) -> torch.Tensor:
    return torch.randint(0, 255, (count, 4, 3, 16, 16), dtype=torch.uint8)


def test_a_worker_batches_and_keeps_videos_together() -> None:
    made = worker()
    free = threading.Event()
    made.call(free.wait)
    clips = [some_clips(n) for n in (2, 1, 3, 6, 1)]
    futures = [made.submit(c) for c in clips]
    futures[1].cancel()
    free.set()
    for future, pixels in zip(futures, clips, strict=True):
        if future.cancelled():
            with pytest.raises(CancelledError):
                future.result()
            continue
        wanted = made.classifier.run(VIEW.normalise(pixels))
        torch.testing.assert_close(future.result(60).value, wanted, atol=1e-5, rtol=0)
    made.stop()
    made.join(60)
    batches = made._metrics.batch.labels("m")
    assert batches._sum.get() == 12


def test_a_worker_survives_what_fails() -> None:
    made = worker()
    with pytest.raises(ZeroDivisionError):
        made.call(lambda: 1 // 0).result(60)
    assert made.submit(some_clips(1)).result(60).value.shape == (1, 5)
    made.stop()
    made.join(60)


def test_a_worker_waits_for_company_only_where_some_comes() -> None:
    alone = worker(wait_seconds=30.0)
    begun = time.monotonic()
    alone.submit(some_clips(1)).result(60)
    assert time.monotonic() - begun < 25
    alone.stop()
    made = worker(wait_seconds=30.0, coming=lambda: 1)
    first = made.submit(some_clips(2))
    second = made.submit(some_clips(2))
    assert first.result(60).model_seconds == second.result(60).model_seconds
    made.stop()


@pytest.mark.parametrize(("path", "status"), [("/predict", 401), ("/", 200)])
def test_a_refused_body_is_read_before_the_answer(path: str, status: int) -> None:
    """A browser that is cut off while it sends shows no answer; what is not refused is left to its route."""
    told: list[str] = []
    pieces = [b"a" * 1000] * 3

    async def receive() -> dict[str, Any]:
        told.append("read")
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        told.append(str(message.get("status", "")))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    settings = Settings(keys=("k" * 16,))
    scope = {
        "type": "http", "method": "POST", "path": path, "headers": [(b"host", b"127.0.0.1")], "client": ("::1", 1),
    }  # fmt: skip
    asyncio.run(Access(app, settings, Metrics(), lambda path: path == "/")(scope, receive, send))
    assert told[: 4 if status == 401 else 1] == (
        ["read", "read", "read", "401"] if status == 401 else ["200"]
    )
