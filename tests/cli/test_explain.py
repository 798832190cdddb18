"""`tubelet explain`."""

import json
from pathlib import Path

import pytest

from tubelet.cli.explain import main

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "pan_left.mp4"


def test_a_folder_is_written_and_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "why"
    assert main("tubelet explain", [str(CLIP), "--out", str(out), "--start-seconds", "1"]) == 0
    assert {f.name for f in out.iterdir()} == {"overlay.mp4", "sheet.png", "explanation.json", "arrays.npz"}
    found = json.loads((out / "explanation.json").read_text())
    assert found["label"] == "left"
    assert found["begins_at_seconds"] == 1
    assert "left" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="new folder"):
        main("tubelet explain", [str(CLIP), "--out", str(out)])
