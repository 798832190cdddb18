from pathlib import Path

import pytest

from tests.data.files import touch, write
from tubelet.data.moments import MomentsInTime
from tubelet.errors import DataError


@pytest.fixture
def moments(tmp_path: Path) -> MomentsInTime:
    write(tmp_path / "moments_categories.txt", "clapping,1\nadult+female+singing,0\n")
    write(tmp_path / "trainingSet.csv", "clapping/a-1_2.mp4,clapping,3,0\nclapping/gone.mp4,clapping,3,0\n")
    write(tmp_path / "validationSet.csv", "adult+female+singing/a-1_2.mp4,adult+female+singing,3,1\n")
    touch(tmp_path, "training/clapping/a-1_2.mp4", "validation/adult+female+singing/a-1_2.mp4")
    touch(tmp_path, "validation/clapping/gone.mp4")  # of another split: does not count
    return MomentsInTime(root=tmp_path)


def test_official_files(moments: MomentsInTime) -> None:
    assert moments.labels.heads[0].classes == ("adult+female+singing", "clapping")
    assert [(s.path.parent.name, s.labels) for s in moments.samples("train")] == [("clapping", (1,))]
    assert [(s.path.parts[-3], s.labels) for s in moments.samples("val")] == [("validation", (0,))]
    assert moments.missing == {"train": ("clapping/gone.mp4",)}


def test_bad_files_are_named(moments: MomentsInTime, tmp_path: Path) -> None:
    write(tmp_path / "trainingSet.csv", "clapping/a-1_2.mp4,clapping\nx/y.mp4,x,3,0\n")
    with pytest.raises(
        DataError, match=r"trainingSet.csv, line 2: the label 'x' is not in moments_categories.txt"
    ):
        _ = moments.labels
    write(tmp_path / "moments_categories.txt", "clapping,0\nsinging\n")
    with pytest.raises(DataError, match="line 2: 'singing' is not a label and a number"):
        _ = moments.labels
    write(tmp_path / "moments_categories.txt", "clapping,0\nsinging,2\n")
    with pytest.raises(DataError, match="none has the number 1"):
        _ = moments.labels
    with pytest.raises(DataError, match=r"There is no file .*moments_categories.txt"):
        _ = MomentsInTime(root=tmp_path, annotations=tmp_path / "training").labels
    write(tmp_path / "training/moments_categories.txt", "clapping,0\n")
    with pytest.raises(DataError, match=r"holds none of trainingSet.csv, validationSet.csv"):
        _ = MomentsInTime(root=tmp_path, annotations=tmp_path / "training").labels
