"""From a folder of clips to a measured model, by typing."""

import csv
import json
from pathlib import Path

import pytest

from tests.test_classifier import film
from tubelet.cli import evaluate, predict, train
from tubelet.errors import ConfigError, DataError

SMALL = ["--model", "ti-16x2-fe", "--blocks", "1", "--frames", "2", "--size", "16", "--workers", "0"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for number, name in enumerate(("run", "sit")):
            folder = tmp_path / "clips" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                film(folder / f"{i}.mp4", 4, seed=10 * number + i)
    return tmp_path / "clips"


def test_a_folder(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = ["folder", "--data.root", str(clips), "--out", str(out), "--epochs", "1", *SMALL]
    assert train.main("tubelet train", arguments) == 0
    assert f"tubelet predict VIDEO --model {out}" in capsys.readouterr().out
    found = ["--out", str(tmp_path / "results")]
    assert evaluate.main("tubelet evaluate", [str(out), str(clips), *found]) == 0
    report = json.loads((tmp_path / "results/metrics.json").read_text())
    assert report["videos"] == 4
    assert len((tmp_path / "results/videos.jsonl").read_text().splitlines()) == 4
    assert "top-1" in capsys.readouterr().out
    with pytest.raises(DataError, match="another evaluation, which is not overwritten"):
        evaluate.main("tubelet evaluate", [str(out), str(clips), *found, "--views", "1x3"])
    assert predict.main("tubelet predict", [str(clips / "test"), "--model", str(out)]) == 0
    assert "run" in capsys.readouterr().out
    assert train.main("tubelet train", arguments) == 0  # the finished run, taken up again
    with pytest.raises(ConfigError, match=r"optimizer\.lr: 0\.0003 there, 0\.5 here"):
        train.main("tubelet train", [*arguments[:-2], "--workers", "0", "--optimizer.lr", "0.5"])


def test_a_table_with_two_heads(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = clips / "clips.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "what", "where", "from", "to", "part"])
        for path in sorted(clips.rglob("*.mp4")):
            row = path.relative_to(clips)
            writer.writerow(
                [row, row.parts[1], "left" if path.stem == "0" else "right", 0, 0.3, row.parts[0]]
            )
    columns = [
        "--data.label",
        "what",
        "where",
        "--data.path",
        "file",
        "--data.start",
        "from",
        "--data.end",
        "to",
    ]
    columns += ["--data.split", "part"]
    out = tmp_path / "run"
    arguments = ["folder", "--data.root", str(table), *columns, "--out", str(out), "--epochs", "1", *SMALL]
    assert train.main("tubelet train", arguments) == 0
    capsys.readouterr()
    assert (
        evaluate.main(
            "tubelet evaluate",
            [str(out), str(table), *columns, "--per-class", "--out", str(tmp_path / "results")],
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "what" in shown
    assert "left" in shown
    with pytest.raises(SystemExit):  # a folder has no columns
        evaluate.main("tubelet evaluate", [str(out), str(clips), *columns])
    assert "--data.label" in capsys.readouterr().err


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main("tubelet train", ["--list"]) == 0
    assert "folder" in capsys.readouterr().out
    assert train.main("tubelet train", ["dance"]) == 2
    assert "no recipe 'dance'" in capsys.readouterr().err
