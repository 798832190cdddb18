import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.errors import TubeletError
from tubelet.training import checkpoint
from tubelet.training.checkpoint import Checkpoints


def state(number: float) -> dict[str, Any]:
    return {"weights": torch.full((5000,), number), "place": {"epoch": 3, "loss": 0.1}, "names": ["a"]}


def silent(_: str) -> None:
    raise AssertionError("nothing was to be said")


def test_the_newest_is_found_and_the_last_ones_stay(tmp_path: Path):
    kept = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert kept.newest(silent) is None
    for step in (1, 5, 20, 100):
        kept.save(step, state(step))
    assert [checkpoint.step_of(file) for file in kept.files()] == [20, 100]
    found = kept.newest(silent)
    assert found is not None
    assert torch.equal(found["weights"], torch.full((5000,), 100.0))
    assert found["place"] == {"epoch": 3, "loss": 0.1}


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied"])
def test_a_damaged_newest_is_named_and_left_out(tmp_path: Path, harm: str):
    kept = Checkpoints(tmp_path)
    kept.save(1, state(1))
    file = kept.save(2, state(2))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes({"cut": bytes(data[:-100]), "flipped": bytes(data), "emptied": b""}[harm])
    said: list[str] = []
    found = kept.newest(said.append)
    assert found is not None
    assert found["weights"][0] == 1
    assert len(said) == 1
    assert file.name in said[0]
    kept.save(2, state(2))  # it has its place again
    again = kept.newest(silent)
    assert again is not None
    assert again["weights"][0] == 2


def test_what_a_kill_left_half_written_is_not_taken_for_a_checkpoint(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    kept.save(1, state(1))
    (tmp_path / "00000002.part").write_bytes(b"half")
    found = kept.newest(silent)
    assert found is not None
    assert found["weights"][0] == 1
    assert [file.suffix for file in tmp_path.iterdir()] == [".pt"]


def test_a_full_disk_leaves_the_last_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = Checkpoints(tmp_path)
    kept.save(1, state(1))
    write, written = checkpoint.Hashing.write, 0

    def full(file: Any, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 8000 and file.error is None:
            file.error = OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(checkpoint.Hashing, "write", full)
    with pytest.raises(TubeletError, match=r"No space left .* is whole. Make room"):
        kept.save(2, state(2))
    monkeypatch.undo()
    assert len(os.listdir(tmp_path)) == 1
    found = kept.newest(silent)
    assert found is not None
    assert found["weights"][0] == 1


LIMITED = """
import sys, torch
from pathlib import Path
from tubelet.training.checkpoint import Checkpoints
Checkpoints(Path(sys.argv[1])).save(2, {"weights": torch.zeros(100_000)})
"""


def test_a_limit_of_the_system_is_said_in_words(tmp_path: Path):
    Checkpoints(tmp_path).save(1, state(1))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Make room" in done.stderr
    assert len(os.listdir(tmp_path)) == 1
