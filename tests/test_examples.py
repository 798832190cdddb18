"""The examples run, and the demo answers rightly on the clips whose truth is known by construction."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import tubelet

EXAMPLES = Path(__file__).parents[1] / "examples"
HEADS = ("pan", "tilt", "zoom", "roll", "shake", "cut")
STILL = dict(zip(HEADS, ("none", "none", "none", "none", "no", "no"), strict=True))
TRUTH = {
    "pan_left": ({"pan": "left"}, {"pan": "left"}),
    "tilt_up": ({"tilt": "up"}, {"tilt": "up"}),
    "handheld": ({"shake": "yes"}, {"shake": "yes"}),
    "still_then_cut": ({}, {"cut": "yes"}),
    "zoom_in": ({"zoom": "in"}, {"zoom": "in"}),
    "roll_right": ({"roll": "right"}, {"roll": "right"}),
}
"""What the camera does in the two windows of each clip, beside standing still."""


def test_demo_writes_a_table_and_a_sheet(tmp_path: Path) -> None:
    program = [sys.executable, str(EXAMPLES / "demo.py"), "--out", str(tmp_path)]
    for number in ("", "-2"):  # a second run overwrites nothing
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"demo{number}.png").stat().st_size > 10_000
    assert all(f"{name}.mp4" in done.stdout for name in TRUTH)
    assert "6 of 6 videos predicted, 0 failed." in done.stderr


@pytest.mark.parametrize("name", TRUTH)
def test_the_model_in_the_box_sees_what_the_camera_does(name: str) -> None:
    prediction = tubelet.load("camera-motion").predict(EXAMPLES / "clips" / f"{name}.mp4")
    assert len(prediction.windows) == 2
    for window, moves in zip(prediction.windows, TRUTH[name], strict=True):
        assert {head: window.top(1, head)[0][0] for head in HEADS} == STILL | moves


def test_the_clips_are_made_by_our_own_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image")
    spec = importlib.util.spec_from_file_location("make_clips", EXAMPLES / "make_clips.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "SECONDS", 1)
    script.main(tmp_path)
    assert {p.stem for p in tmp_path.glob("*.mp4")} == set(TRUTH)
    assert len(tubelet.Video(tmp_path / "pan_left.mp4")) == 25
