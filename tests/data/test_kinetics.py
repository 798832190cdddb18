from pathlib import Path

import pytest

from tests.data.files import touch, write
from tubelet.data.kinetics import Kinetics
from tubelet.data.source import UNKNOWN
from tubelet.errors import DataError

HEADER = "label,youtube_id,time_start,time_end,split\n"


@pytest.fixture
def kinetics(tmp_path: Path) -> Kinetics:
    annotations = tmp_path / "annotations"
    write(
        annotations / "train.csv",
        HEADER
        + "zumba,-abcdefghi1,5,15,train\narchery,abc_efghij2,120,130,train\narchery,gone_gone_3,0,10,train\n"
        + "zumba,-abcdefghi1,5,15,train\n",  # the official files name some clips twice
    )
    write(annotations / "validate.csv", HEADER + '"brush, painting",valvalvalv4,1,11,validate\n')
    write(annotations / "test.csv", "youtube_id,time_start,time_end,split\ntesttestte5,7,17,test\n")
    videos = touch(
        tmp_path / "videos",
        "train/zumba/-abcdefghi1_000005_000015.mp4",
        "train/archery/abc_efghij2_000120_000130.mkv",  # whatever suffix
        "val/valvalvalv4_000001_000011.mp4",  # whatever folder
        "testtestte5_000007_000017.mp4",
        "train/zumba/notes.txt",
    )
    return Kinetics(root=videos, annotations=annotations)


def test_official_files_in_whatever_folders(kinetics: Kinetics) -> None:
    (head,) = kinetics.labels.heads
    assert head.classes == ("archery", "brush, painting", "zumba")
    assert kinetics.splits == ("train", "val", "test")
    train = kinetics.samples("train")
    assert [(s.path.name, s.labels, s.group) for s in train] == [
        ("-abcdefghi1_000005_000015.mp4", (2,), "-abcdefghi1"),
        ("abc_efghij2_000120_000130.mkv", (0,), "abc_efghij2"),
    ]
    assert [s.labels for s in kinetics.samples("val")] == [(1,)]
    assert [s.labels for s in kinetics.samples("test")] == [(UNKNOWN,)]


def test_missing_videos_are_listed_and_not_fatal(kinetics: Kinetics) -> None:
    assert kinetics.missing == {"train": ("gone_gone_3_000000_000010",)}
    with pytest.raises(
        DataError, match=r"None of the 5 annotated videos .* such as testtestte5_000007_000017"
    ):
        _ = Kinetics(root=kinetics.annotations, annotations=kinetics.annotations).labels


def test_the_same_name_in_two_folders_is_that_of_its_split(kinetics: Kinetics) -> None:
    touch(kinetics.root, "archive/zumba/-abcdefghi1_000005_000015.mp4", "zumba/-abcdefghi1_000005_000015.mp4")
    assert kinetics.samples("train")[0].path.relative_to(kinetics.root).parts[0] == "train"


def test_folders_of_images(kinetics: Kinetics) -> None:
    folder = kinetics.root / "frames"
    touch(folder, "zumba/-abcdefghi1_000005_000015/1.jpg", "zumba/-abcdefghi1_000005_000015/2.jpg")
    (sample,) = Kinetics(root=folder, annotations=kinetics.annotations, image_rate=25).samples("train")
    assert sample.path == folder / "zumba/-abcdefghi1_000005_000015"
    assert sample.image_rate == 25


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("zumba,x,5,15,dev", "line 2: split='dev' is none of"),
        ("zumba,x,5.5,15,train", "line 2: time_start='5.5' is not a whole number"),
        ("zumba,x,5,,train", "line 2: time_end='' is not"),
        (",x,5,15,train\na,x,5,15,train", "line 2: no label"),
        ("zumba,,5,15,train", "line 2: the column 'youtube_id' is empty"),
        ("a,b,c,d,e,f", "line 2: more cells"),
        (",x,5,15,test", "no clip has a label"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, sentence: str) -> None:
    file = write(tmp_path / "k.csv", HEADER + row + "\n")
    with pytest.raises(DataError, match=sentence):
        _ = Kinetics(root=tmp_path, annotations=file).labels


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        _ = Kinetics(root=tmp_path, annotations=tmp_path / "no.csv").labels
    with pytest.raises(DataError, match="holds no CSV file"):
        _ = Kinetics(root=tmp_path, annotations=tmp_path).labels
    write(tmp_path / "k.csv", "label,id\na,b\n")
    with pytest.raises(DataError, match=r"k.csv has no column youtube_id, time_start, time_end, split"):
        _ = Kinetics(root=tmp_path, annotations=tmp_path).labels
    (tmp_path / "k.csv").write_bytes(b"label\xff,id\n")
    with pytest.raises(DataError, match="no CSV file of UTF-8"):
        _ = Kinetics(root=tmp_path, annotations=tmp_path).labels
    write(tmp_path / "k.csv", HEADER + "a,b,1,2,train\n")
    with pytest.raises(DataError, match="There is no folder"):
        _ = Kinetics(root=tmp_path / "no", annotations=tmp_path).labels


def test_the_order_of_the_400_classes_is_alphabetical() -> None:
    weights = pytest.importorskip("torchvision.models.video").R3D_18_Weights.DEFAULT
    names = weights.meta["categories"]
    assert names == sorted(names)  # the order by which `Kinetics` numbers them
