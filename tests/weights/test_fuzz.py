"""Damaged and hostile files of every format: see `fuzz.py`, which can also run for as long as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
COUNT = 60
"""Mutations of each format."""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and measures memory as Linux does")
def test_every_format() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, str(FUZZ), str(COUNT), "0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert run.returncode == 0, run.stdout[-1000:] + run.stderr[-3000:]
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) >= 14
    for one in found:
        assert one["refused"] + one["loaded"] == COUNT, one
        assert one["refused"] > COUNT / 10, f"hardly anything was broken: {one}"
