import json
from pathlib import Path

import pytest

from tests.clips import moving_square, write_clip
from tubelet.cli import check, shard
from tubelet.data import Folders, Shards


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    for number, split in enumerate(("train", "val")):
        for place, label in enumerate("ab"):
            write_clip(root / split / label / "0.mp4", moving_square(1, 2 * number + place, frames=12))
    return root


def test_check_and_its_list(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main("tubelet check", [str(clips), "--workers", "0"]) == 0
    assert "Nothing is wrong" in capsys.readouterr().out
    (clips / "train/a/[broken].mp4").write_bytes(b"no video")
    (clips / "val/b/copy.mp4").write_bytes((clips / "train/b/0.mp4").read_bytes())
    found, fixes = tmp_path / "found.json", tmp_path / "fixes.csv"
    typed = [str(clips), "--workers", "0", "--json", str(found), "--fix-list", str(fixes)]
    assert check.main("tubelet check", typed) == 1
    shown = capsys.readouterr().out
    assert "Cannot be read: 1" in shown
    assert "[broken].mp4" in shown
    assert "2 clips to leave out" in shown
    assert json.loads(found.read_text())["sound"] is False
    with pytest.raises(FileExistsError, match="not overwritten"):
        check.main("tubelet check", typed)
    again = [str(clips), "--workers", "0", "--data.quarantine", str(fixes)]
    assert check.main("tubelet check", again) == 1  # train has no clip of b any more
    assert "train, label: 2 classes, 0 to 1 clips each; none of b" in capsys.readouterr().out


def test_an_interruption(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tubelet.data.examine.examine", interrupt)
    fixes = tmp_path / "fixes.csv"
    assert check.main("tubelet check", [str(clips), "--workers", "0", "--fix-list", str(fixes)]) == 130
    assert not fixes.exists()


def test_shard_then_check_the_shards(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shards"
    assert shard.main("tubelet shard", [str(clips), str(out), "--short-side", "16", "--workers", "0"]) == 0
    assert "4 clips in 2 shards" in capsys.readouterr().out.replace("\n", "")
    source = Shards(root=str(out))
    assert source.labels == Folders(root=clips).labels
    assert check.main("tubelet check", [str(out), "--workers", "0"]) == 0
    (clips / "train/a/broken.mp4").write_bytes(b"no video")
    assert shard.main("tubelet shard", [str(clips), str(tmp_path / "more"), "--workers", "0"]) == 1
    assert "Left out of train" in capsys.readouterr().out
