from pathlib import Path

import pytest

from tests.test_classifier import make
from tubelet.cli import info


def test_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main("tubelet info", ["--paper"]) == 0
    out = capsys.readouterr().out
    for text in ("b-16x2-fe-average", "115.1M", "455.2", "451.5", "16x14x14"):
        assert text in out


def test_list_and_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main("tubelet info", ["--list"]) == 0
    assert "h-14x2" in capsys.readouterr().out
    assert info.main("tubelet info", ["ti-16x2-fe"]) == 0
    assert "temporal_depth=4" in capsys.readouterr().out


def test_a_model_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make().save(tmp_path / "model")
    assert info.main("tubelet info", [str(folder)]) == 0
    out = capsys.readouterr().out
    assert "colour: 3 classes: red, green, blue" in out
    assert "(Tubelet): 24 taken" in out
