import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.clips import write_clip
from tests.streaming.test_engine import ENCODER, VIEW, make
from tests.test_classifier import film
from tubelet.cli import console as consoles
from tubelet.cli import stream
from tubelet.errors import ConfigError


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(make(ENCODER, VIEW).save(tmp_path / "model"))


def run(*arguments: str) -> int:
    return stream.main("tubelet stream", arguments)


def test_json_lines(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = film(tmp_path / "a.mp4", 20)
    assert run(str(file), "--model", model, "--top", "1") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == (20 - 8) // 2 + 1
    assert lines[1]["start_seconds"] == pytest.approx(0.2)
    assert len(lines[0]["heads"]["head 0"]) == 1
    target = tmp_path / "out" / "a.jsonl"
    assert run(str(file), "--model", model, "--json", str(target), "--hop", "8") == 0
    assert len(target.read_text().splitlines()) == 3
    with pytest.raises(FileExistsError, match="not overwritten"):
        run(str(file), "--model", model, "--json", str(target))


def test_lines_to_read(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Console(force_terminal=True, record=True, width=200)
    monkeypatch.setattr(consoles, "stdout", lambda: shown)
    run(str(film(tmp_path / "a.mp4", 20)), "--model", model, "--window-seconds", "1.6", "--realtime")
    text = shown.export_text()
    assert "00:00.0 - 00:01.6  head 0: class" in text
    assert " ms" in text
    assert stream.clock(3725.25) == "1:02:05.2"


def test_raw_frames_and_a_reader_that_leaves(model: str, tmp_path: Path) -> None:
    """As typed in a shell: nobody reads on after the first line, and nothing is said about it."""
    command = [sys.executable, "-m", "tubelet.cli", "stream", "-", "--model", model, "--raw", "16x16@10"]
    (tmp_path / "raw").write_bytes(bytes(3 * 16 * 16 * 800))
    with (
        (tmp_path / "raw").open("rb") as raw,
        subprocess.Popen(
            [*command, "--skip", "never"], stdin=raw, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["video"] == "standard input"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("raw", [("--raw", "16x16@10"), ()], ids=["raw", "encoded"])
def test_interrupted_while_it_waits(model: str, raw: tuple[str, ...], tmp_path: Path) -> None:
    """Nothing more comes through the pipe, which stays open; Ctrl-C ends it at once, in words."""
    command = [sys.executable, "-m", "tubelet.cli", "stream", "-", "--model", model, *raw, "--skip", "never"]
    clip = write_clip(tmp_path / "a.ts", np.zeros((400, 32, 32, 3), np.uint8)).read_bytes()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What runs in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(bytes(3 * 16 * 16 * 10) if raw else clip)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"Interrupted.\n"
        assert process.wait(timeout=30) == 130


def test_settings_are_refused_in_sentences(model: str, tmp_path: Path) -> None:
    for text in ("640", "ax3", "0x4", "64x48@x"):
        with pytest.raises(ConfigError):
            stream.parse_raw(text)
    assert stream.parse_raw("640x480@30").frames_per_second == 30
    with pytest.raises(ConfigError, match="retries"):
        run(str(film(tmp_path / "a.mp4", 9)), "--model", model, "--retries", "2")
