"""A server as a process of its own, over loopback: it starts, answers, and ends as it should."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.serving.made import clip, noise, saved
from tubelet.cli import serve
from tubelet.errors import ConfigError


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    model = saved(tmp_path / "model")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "tubelet.cli", "serve", f"m={model}", "--port", "0", "--decoders", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+:\d+", line)
    assert found, line + process.stderr.read()
    yield process, found[0]
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stderr.close()


def test_it_ends_when_what_it_accepted_is_answered(
    started: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, address = started
    small, long = clip(tmp_path / "a.mp4"), noise(tmp_path / "long.mp4", 250, 720, 1280)
    assert httpx.get(f"{address}/ready").status_code == 200
    with small.open("rb") as file:
        assert httpx.post(f"{address}/predict", files={"file": file}, timeout=60).status_code == 200
    found: list[Any] = []

    def ask() -> None:
        with long.open("rb") as file:
            found.append(httpx.post(f"{address}/timeline?hop=1", files={"file": file}, timeout=120))

    asking = threading.Thread(target=ask)
    asking.start()
    while "tubelet_in_flight 1.0" not in httpx.get(f"{address}/metrics", timeout=60).text:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    ready = 200
    while ready == 200:
        ready = httpx.get(f"{address}/ready", timeout=60).status_code
    assert ready == 503
    with small.open("rb") as file:
        refused = httpx.post(f"{address}/predict", files={"file": file}, timeout=60)
    assert refused.status_code == 503
    asking.join()
    assert found[0].text.rstrip().endswith("event: end\ndata: {}")
    assert '"complete":true' in found[0].text
    assert process.wait(60) == 0
    assert process.stderr is not None
    lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert {line["route"] for line in lines} >= {"/predict", "/timeline", "/ready"}
    assert not list(tmp_path.glob("tubelet-serve-*/server-*"))


def test_what_cannot_be_run_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="requests must bear a key"):
        serve.main("tubelet serve", ["no-such-model", "--host", "0.0.0.0"])
    with pytest.raises(ConfigError, match="is no folder"):
        serve.main("tubelet serve", ["no-such-model", "--root", str(tmp_path / "no")])
    with pytest.raises(ConfigError, match="limit seconds=0"):
        serve.main("tubelet serve", ["no-such-model", "--max-seconds", "0"])
