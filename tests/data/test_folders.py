import pickle
from pathlib import Path

import pytest

from tubelet.data.folders import Folders
from tubelet.data.source import Fractions
from tubelet.errors import ConfigError, DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_classes_by_name_and_a_random_division(tmp_path: Path):
    touch(
        tmp_path, *(f"{label}/{i:02}.MP4" for label in ("wave", "clap") for i in range(10)), "wave/notes.txt"
    )
    touch(tmp_path, ".cache/x.mp4", "clap/.hidden.mp4")
    source = Folders(root=tmp_path, fractions=Fractions(val=0.2, test=0.2))
    assert source.labels.heads[0].classes == ("clap", "wave")
    assert [len(source.samples(split)) for split in ("train", "val", "test")] == [12, 4, 4]
    assert all(
        source.labels.heads[0].classes[s.labels[0]] == s.path.parent.name for s in source.samples("val")
    )
    assert source.samples("val") == pickle.loads(pickle.dumps(source)).samples("val")


def test_folders_named_as_splits_are_the_splits(tmp_path: Path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "Validation/a/2.mp4", "test/b/deep/3.avi")
    source = Folders(root=tmp_path)
    assert source.labels.heads[0].classes == ("a", "b")
    assert [s.path.name for s in source.samples("val")] == ["2.mp4"]
    assert [s.path.name for s in source.samples("test")] == ["3.avi"]


def test_groups_from_file_names(tmp_path: Path):
    touch(tmp_path, *(f"a/v_g{g:02}_c{c}.avi" for g in range(10) for c in range(3)))
    source = Folders(root=tmp_path, group=r"(g\d+)_", fractions=Fractions(val=0.3, test=0))
    held = {s.group for s in source.samples("val")}
    assert len(held) == 3
    assert not held & {s.group for s in source.samples("train")}


def test_what_is_wrong_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="There is no folder"):
        _ = Folders(root=tmp_path / "nothing").labels
    with pytest.raises(DataError, match="one for each class"):
        _ = Folders(root=tmp_path).labels
    touch(tmp_path, "a/1.mp4", "b/readme.txt")
    with pytest.raises(DataError, match=r"no videos .* for the class b"):
        _ = Folders(root=tmp_path).labels
    with pytest.raises(ConfigError, match="exactly one"):
        Folders(root=tmp_path, group=r"g\d+")
    touch(tmp_path, "b/2.mp4")
    with pytest.raises(DataError, match="nowhere in the file's name"):
        Folders(root=tmp_path, group=r"(g\d+)").samples("train")
    with pytest.raises(DataError, match=r"no clips in the split 'all'. There are: .*train"):
        Folders(root=tmp_path).samples("all")


def test_a_split_without_a_folder_is_an_error(tmp_path: Path):
    touch(tmp_path, "train/a/1.mp4")
    with pytest.raises(DataError, match="split 'val'"):
        Folders(root=tmp_path).samples("val")


def test_a_folder_of_images_for_each_clip(tmp_path: Path):
    touch(
        tmp_path, *(f"{label}/{clip}/{i}.jpg" for label in "ab" for clip in ("x", "deep/y") for i in range(3))
    )
    source = Folders(root=tmp_path, image_rate=30, fractions=Fractions(val=0, test=0))
    found = [(s.path.relative_to(tmp_path).as_posix(), s.image_rate) for s in source.samples("train")]
    assert found == [("a/deep/y", 30), ("a/x", 30), ("b/deep/y", 30), ("b/x", 30)]
    with pytest.raises(DataError, match="no videos"):
        _ = Folders(root=tmp_path).labels
    touch(tmp_path, "c/1.mp4")
    with pytest.raises(DataError, match="no folders of images for the class c"):
        _ = Folders(root=tmp_path, image_rate=30).labels
