from pathlib import Path

import pytest

from tests.data.files import touch, write
from tubelet.data.folders import Folders
from tubelet.data.quarantine import Without, write_list
from tubelet.data.source import Fractions
from tubelet.data.table import Table
from tubelet.errors import DataError


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    names = (f"{split}/{label}/{i}.mp4" for split in ("train", "val") for label in "ab" for i in range(2))
    return Folders(root=touch(tmp_path / "clips", *names))


def test_listed_clips_are_left_out(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [folders.samples("train")[1], *folders.samples("val")]
    write_list(tmp_path / "list.csv", [(sample, "broken, says the decoder") for sample in broken])
    source = Without(source=folders, clips=tmp_path / "list.csv")
    assert source.labels == folders.labels
    assert source.splits == ("train",)
    assert [s.path.name for s in source.samples("train")] == ["0.mp4", "0.mp4", "1.mp4"]
    with pytest.raises(DataError, match="All clips in the split 'val' are in"):
        source.samples("val")
    monkeypatch.chdir(tmp_path)  # the same files by another path
    other = Without(source=Folders(root=Path("clips")), clips=Path("list.csv"))
    assert len(other.samples("train")) == 3
    with pytest.raises(FileExistsError):
        write_list(tmp_path / "list.csv", [])


def test_parts_of_a_video_are_told_apart(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "path,label,a,b\n1.mp4,x,0,1\n1.mp4,x,1,2.3333333333\n1.mp4,y,0,2\n")
    table = Table(file=file, start="a", end="b", fractions=Fractions(val=0, test=0))
    write_list(tmp_path / "list.csv", [(table.samples("train")[1], "broken")])
    found = Without(source=table, clips=tmp_path / "list.csv").samples("train")
    assert [s.end_seconds for s in found] == [1, 2]


def test_a_list_of_other_clips_is_refused(folders: Folders, tmp_path: Path) -> None:
    write_list(tmp_path / "list.csv", [(sample, "") for sample in folders.samples("train")])
    moved = folders.root.rename(tmp_path / "moved")
    with pytest.raises(
        DataError, match=r"list.csv, line 2: .*clips/train/a/0.mp4 is not in the data, nor are 3"
    ):
        Without(source=Folders(root=moved), clips=tmp_path / "list.csv").samples("train")
    with pytest.raises(DataError, match="There is no file"):
        Without(source=folders, clips=tmp_path / "no.csv").samples("train")
    write(tmp_path / "other.csv", "path\nx\n")
    with pytest.raises(DataError, match="no column video"):
        Without(source=folders, clips=tmp_path / "other.csv").samples("train")


def test_an_empty_list_leaves_all(folders: Folders, tmp_path: Path) -> None:
    write_list(tmp_path / "list.csv", [])
    assert len(Without(source=folders, clips=tmp_path / "list.csv").samples("val")) == 4
