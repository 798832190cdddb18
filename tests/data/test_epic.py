from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_clip
from tests.data.files import touch, write, write_images
from tubelet.data.epic import EpicKitchens
from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError

EPIC_100 = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
ROW = "{id},P01,{video},00:00:00.560,{start},{stop},{first},{last},open door,open,{verb},door,{noun},['door'],[1]\n"
EPIC_55 = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,verb,verb_class,"
    "noun,noun_class,all_nouns,all_noun_classes\n"
)


def row(
    number: int, video: str = "P01_01", start: str = "00:00:00.20", stop: str = "00:00:00.60", **cells: int
) -> str:
    values = {"first": 6, "last": 15, "verb": 1, "noun": 2} | cells
    return ROW.format(id=f"{video}_{number}", video=video, start=start, stop=stop, **values)


def numbered_frames(count: int = 25) -> np.ndarray:
    return np.repeat(np.arange(count, dtype=np.uint8) * 10, 16 * 16 * 3).reshape(count, 16, 16, 3)


@pytest.fixture
def epic(tmp_path: Path) -> EpicKitchens:
    annotations = tmp_path / "annotations"
    write(
        annotations / "EPIC_100_verb_classes.csv",
        "id,key,instances,category\n0,take,['take'],retrieve\n1,open,,\n",
    )
    write(
        annotations / "EPIC_100_noun_classes.csv", "id,key,instances,category\n1,cup,,\n0,door,,\n2,tap,,\n"
    )
    write(
        annotations / "EPIC_100_train.csv", EPIC_100 + row(0) + row(1, start="00:00:00.60", stop="01:02:03.5")
    )
    write(annotations / "EPIC_100_validation.csv", EPIC_100 + row(0, "P01_11") + row(1, "P01_11"))
    columns = EPIC_100.split(",narration,")[0] + "\n"
    write(
        annotations / "EPIC_100_test_timestamps.csv",
        columns + "P01_12_0,P01,P01_12,0:0:0,00:00:01.0,00:00:02,60,120\n",
    )
    touch(
        tmp_path / "data", "P01/videos/P01_01.MP4", "P01/videos/P01_12.MP4", "P01/object_detection/P01_11.pkl"
    )
    return EpicKitchens(root=tmp_path / "data", annotations=annotations)


def test_segments_with_noun_and_verb(epic: EpicKitchens) -> None:
    noun, verb = epic.labels.heads  # this order: that of the official ViViT's outputs
    assert (noun.name, noun.classes) == ("noun", ("door", "cup", "tap"))
    assert (verb.name, verb.classes) == ("verb", ("take", "open"))
    first, second = epic.samples("train")
    assert first.labels == (2, 1)
    assert (first.start_seconds, first.end_seconds, first.id, first.group) == (0.2, 0.6, "P01_01_0", "P01_01")
    assert (second.start_seconds, second.end_seconds) == (0.6, 3723.5)
    (hidden,) = epic.samples("test")
    assert hidden.labels == (UNKNOWN, UNKNOWN)
    assert epic.missing == {"val": ("P01_11",)}  # once for all its segments


def test_segments_of_files_and_of_frame_folders_are_the_same(epic: EpicKitchens, tmp_path: Path) -> None:
    write_clip(tmp_path / "data/P01/videos/P01_01.MP4", numbered_frames())
    folder = write_images(tmp_path / "frames/P01/rgb_frames/P01_01", numbered_frames(), "frame_{:010}.jpg")
    touch(tmp_path / "frames", "P01/flow_frames/P01_01/u/frame_0000000001.jpg")
    images = EpicKitchens(root=tmp_path / "frames", annotations=epic.annotations, image_rate=60)
    with epic.samples("train")[0].open() as file, images.samples("train")[0].open() as frames:
        assert images.samples("train")[0].path == folder
        assert len(file) == len(frames) == 10
        levels = [video.frames([0, 9]).float().mean((1, 2, 3)) for video in (file, frames)]
    assert levels[0].tolist() == pytest.approx([50, 140], abs=3)  # frames 6 to 15, counted from 1
    assert levels[1].tolist() == pytest.approx([50, 140], abs=3)


def test_epic_55(tmp_path: Path) -> None:
    write(tmp_path / "EPIC_verb_classes.csv", "verb_id,class_key,verbs\n0,take,['take']\n")
    write(tmp_path / "EPIC_noun_classes.csv", "noun_id,class_key,nouns\n0,pan,['pan']\n")
    cells = "a pan,00:00:01,00:00:02,60,120,take,0,pan,0,['pan'],[0]\n"
    rows = "".join(f"{i},P{p},P{p}_01,{cells}" for i, p in enumerate(("01", "26", "31")))
    write(tmp_path / "EPIC_train_action_labels.csv", EPIC_55 + rows)
    touch(tmp_path, *(f"train/P{p}/P{p}_01.MP4" for p in ("01", "26", "31")))
    source = EpicKitchens(root=tmp_path, annotations=tmp_path, edition="55")
    assert [s.id for s in source.samples("train")] == ["0"]
    assert [s.id for s in source.samples("val")] == ["1", "2"]
    other = EpicKitchens(root=tmp_path, annotations=tmp_path, edition="55", held_out=("P01",))
    assert [s.id for s in other.samples("val")] == ["0"]
    with pytest.raises(ConfigError, match="edition 55"):
        EpicKitchens(root=tmp_path, annotations=tmp_path, held_out=("P01",))
    with pytest.raises(DataError, match=r"There is no file .*EPIC_100_noun_classes.csv"):
        _ = EpicKitchens(root=tmp_path, annotations=tmp_path).labels


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (row(0, noun=3), "line 2: noun_class='3' is not a whole number from 0 to 2"),
        (row(0, start="0.2"), "line 2: start_timestamp='0.2' is not a time"),
        (row(0, start="00:00:02"), r"line 2: the segment ends \(0.6 s\) no later than it starts \(2 s\)"),
        (row(0, video=""), "line 2: the column 'video_id' is empty"),
    ],
)
def test_bad_rows_are_named(epic: EpicKitchens, line: str, sentence: str) -> None:
    write(epic.annotations / "EPIC_100_train.csv", EPIC_100 + line)
    with pytest.raises(DataError, match=sentence):
        _ = epic.labels


def test_bad_files_are_named(epic: EpicKitchens) -> None:
    write(epic.annotations / "EPIC_100_verb_classes.csv", "id,key\n0,take\n0,open\n")
    with pytest.raises(DataError, match="line 3: the number 0 is taken"):
        _ = epic.labels
    write(epic.annotations / "EPIC_100_verb_classes.csv", "id,key\n0,take\n2,open\n")
    with pytest.raises(DataError, match="none has the number 1"):
        _ = epic.labels
    write(epic.annotations / "EPIC_100_verb_classes.csv", "id,key\n0,take\n1,open\n")
    for name in ("train", "validation", "test_timestamps"):
        (epic.annotations / f"EPIC_100_{name}.csv").unlink()
    with pytest.raises(DataError, match=r"holds none of EPIC_100_train.csv"):
        _ = epic.labels
