import csv
import io
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.test_classifier import VIEW, film, make
from tubelet.cli import main, predict
from tubelet.errors import ConfigError
from tubelet.video.view import View

WINDOWS = View(
    frames=4, frames_per_second=10, size=16, fit="squash", value_range=(0.0, 1.0), answers="window"
)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(make(VIEW).save(tmp_path / "model"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    film(folder / "a.mp4", 12)
    film(folder / "deep" / "b.MP4", 9, seed=1)
    (folder / "notes.txt").write_text("not a video")
    return folder


def run(*arguments: str) -> int:
    return predict.main("tubelet predict", arguments)


def test_a_folder_as_a_table(model: str, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(clips), "--model", model) == 0
    out, err = capsys.readouterr()
    assert "a.mp4" in out
    assert "b.MP4" in out
    assert "colour" in out
    assert err.strip().splitlines()[-1] == "2 of 2 videos predicted, 0 failed."


def test_one_bad_file(model: str, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clips / "bad.mp4").write_text("no video")
    assert run(str(clips), "missing.mp4", "--model", model, "--json", "-", "--top", "1") == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [Path(p["video"]).name for p in found["predictions"]] == ["a.mp4", "b.MP4"]
    assert [Path(f["video"]).name for f in found["failed"]] == ["bad.mp4", "missing.mp4"]
    assert len(found["predictions"][0]["heads"]["colour"]) == 1
    assert "bad.mp4" in err
    assert err.strip().splitlines()[-1] == "2 of 4 videos predicted, 2 failed."
    assert run(str(clips / "bad.mp4"), "--model", model) == 2


def test_fewer_tokens_and_int8(model: str, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*flags: str) -> float:
        assert run(str(clips / "a.mp4"), "--model", model, "--json", "-", "--top", "1", *flags) == 0
        return json.loads(capsys.readouterr().out)["predictions"][0]["heads"]["colour"][0]["probability"]

    exact = answer()
    assert answer("--drop", "9") != exact
    assert answer("--merge", "0.001") == pytest.approx(exact, abs=1e-5)
    if torch.backends.mkldnn.is_available():
        assert answer("--dtype", "int8") not in (exact, pytest.approx(exact, abs=1e-7))
    with pytest.raises(ConfigError, match=r"merge=0\.7"):
        run(str(clips), "--model", model, "--merge", "0.7")


def test_patterns_and_csv(
    model: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            str(clips / "*.mp4"), "--model", model, "--csv", str(tmp_path / "out" / "x.csv"), "--views", "2x3"
        )
        == 0
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "x.csv").read_text())))
    assert {(r["head"], r["rank"]) for r in rows} == {
        ("colour", "1"),
        ("colour", "2"),
        ("colour", "3"),
        ("moves", "1"),
        ("moves", "2"),
    }
    assert sum(float(r["probability"]) for r in rows) == pytest.approx(2, abs=1e-4)
    capsys.readouterr()
    with pytest.raises(FileExistsError, match="not overwritten"):
        run(str(clips / "*.mp4"), "--model", model, "--csv", str(tmp_path / "out" / "x.csv"))


def test_windows_and_contact_sheet(tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(make(WINDOWS).save(tmp_path / "windows"))
    sheet = tmp_path / "out" / "sheet.png"
    assert run(str(clips), "--model", model, "--sheet", str(sheet)) == 0
    out, err = capsys.readouterr()
    assert "0.4-0.8" in out
    assert str(sheet) in err.replace("\n", "")
    with Image.open(sheet) as picture:
        assert picture.width > 400
        assert picture.height > 5 * 100
    with pytest.raises(FileExistsError, match="not overwritten"):
        run(str(clips), "--model", model, "--sheet", str(sheet))


def test_errors_are_sentences(
    monkeypatch: pytest.MonkeyPatch, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, sentence in (
        (["predict"], "Nothing to predict"),
        (["predict", str(clips), "--model", "nowhere"], "There is no file or folder nowhere"),
        (["dance"], "There is no command 'dance'"),
        (["info"], "Name a model"),
        (["info", "b-99"], "neither a named model"),
    ):
        monkeypatch.setattr(sys, "argv", ["tubelet", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        assert sentence in capsys.readouterr().err


def test_help_and_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in (
        (["--help"], "evaluate"),
        (["--version"], "tubelet 0."),
        (["predict", "--help"], "--views"),
    ):
        monkeypatch.setattr(sys, "argv", ["tubelet", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        assert text in capsys.readouterr().out
