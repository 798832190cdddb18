from pathlib import Path
from typing import Any

import pytest

from tests.clips import moving_square, write_clip
from tests.data.files import write_images
from tubelet.data.source import UNKNOWN, Fractions
from tubelet.data.table import Table
from tubelet.errors import ConfigError, DataError


def write(folder: Path, text: str) -> Path:
    file = folder / "clips.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_parts_of_videos_with_several_heads(tmp_path: Path):
    file = write(
        tmp_path,
        "\ufeffpath,verb,noun,from,to,split\r\nvideos/1.mp4,cut,apple,10,35,train\r\n/abs/2.mp4, take ,,0,5,val\r\n",
    )
    source = Table(
        file=file, label=("verb", "noun"), start="from", end="to", unit="frames", frame_rate=25,
        margin_seconds=0.5, split="split",
    )  # fmt: skip
    assert [(h.name, h.classes) for h in source.labels.heads] == [
        ("verb", ("cut", "take")),
        ("noun", ("apple",)),
    ]
    (first,), (second,) = source.samples("train"), source.samples("val")
    assert first.path == tmp_path / "videos/1.mp4"
    assert (first.start_seconds, first.end_seconds) == pytest.approx((0.4 - 0.5 + 0.1, 1.9))
    assert (second.start_seconds, second.end_seconds) == pytest.approx((0, 0.7))
    assert str(second.path) == "/abs/2.mp4"
    assert second.labels == (1, UNKNOWN)


def test_the_margin_stops_at_the_beginning(tmp_path: Path):
    file = write(tmp_path, "path,label,a\n1.mp4,x,0.2\n")
    (sample,) = Table(file=file, start="a", margin_seconds=1, fractions=Fractions(val=0, test=0)).samples(
        "train"
    )
    assert (sample.start_seconds, sample.end_seconds) == (0, None)


def test_groups_stay_together(tmp_path: Path):
    rows = "".join(f"{i}.mp4,{'ab'[i % 2]},p{i // 4}\n" for i in range(40))
    file = write(tmp_path, "path,label,person\n" + rows)
    source = Table(file=file, group="person", fractions=Fractions(val=0.2, test=0.2))
    people = [{s.group for s in source.samples(split)} for split in ("train", "val", "test")]
    assert [len(names) for names in people] == [6, 2, 2]
    assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,name\n1.mp4,x\n", "no column label. Its columns are: path, name"),
        ("path,label\n", "no rows"),
        ("path,label\n1.mp4,x\n,y\n", "line 3: the column 'path' is empty"),
        ("path,label\n1.mp4,x\n2.mp4,\n", "line 3: no label"),
        ("path,label\n1.mp4,\n", "column 'label' is empty"),
        ("path,label\n1.mp4,x,y\n", "line 2: more cells"),
    ],
)
def test_bad_tables_are_named_with_their_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message):
        _ = Table(file=write(tmp_path, text)).labels


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("2,1", "ends .1 s. no later"),
        ("x,1", "start='x' is not a number"),
        ("-1,1", "start='-1'"),
        ("0,inf", "end='inf'"),
    ],
)
def test_bad_times_are_named_with_their_line(tmp_path: Path, cells: str, message: str):
    file = write(tmp_path, f"path,label,start,end\n1.mp4,x,0,1\n1.mp4,x,{cells}\n")
    with pytest.raises(DataError, match=f"line 3.*{message}"):
        _ = Table(file=file, start="start", end="end").labels


@pytest.mark.parametrize(
    "fields",
    [
        {"unit": "frames", "start": "a"},
        {"frame_rate": 25.0},
        {"unit": "frames", "frame_rate": 25.0},
        {"unit": "frames", "frame_rate": 0.0, "start": "a"},
        {"margin_seconds": -1.0},
        {"label": ()},
        {"label": ("a", "a")},
        {"split": "a", "group": "b"},
        {"multi": ("other",)},
        {"number": ("other",)},
        {"multi": ("label",), "number": ("label",)},
    ],
)
def test_fields_that_make_no_sense(fields: dict[str, Any]):
    with pytest.raises(ConfigError):
        Table(file=Path("x.csv"), **fields)


def test_a_missing_table(tmp_path: Path):
    with pytest.raises(DataError, match="There is no file"):
        _ = Table(file=tmp_path / "no.csv").labels


def test_several_classes_at_once_and_numbers(tmp_path: Path):
    file = write(
        tmp_path,
        "path,who,does,speed\n1.mp4,ann,walk; talk,-1\n2.mp4,bob,;,2.5\n3.mp4,ann,,\n4.mp4,,talk;talk,1e1\n",
    )
    source = Table(
        file=file, label=("who", "does", "speed"), multi=("does",), number=("speed",),
        fractions=Fractions(val=0, test=0),
    )  # fmt: skip
    assert [(h.name, h.classes, h.kind) for h in source.labels.heads] == [
        ("who", ("ann", "bob"), "single"),
        ("does", ("talk", "walk"), "multi"),
        ("speed", ("speed",), "number"),
    ]
    assert [s.labels for s in source.samples("train")] == [
        (0, (0, 1), (-1.0,)),
        (1, (), (2.5,)),
        (0, UNKNOWN, UNKNOWN),
        (UNKNOWN, (0,), (10.0,)),
    ]
    write(tmp_path, "path,label\n1.mp4,fast\n")
    with pytest.raises(DataError, match="line 2: label='fast' is not a number"):
        _ = Table(file=file, number=("label",)).labels
    write(tmp_path, "path,label\n1.mp4,;\n")
    with pytest.raises(DataError, match="names no class"):
        _ = Table(file=file, multi=("label",)).labels


def test_numbers_do_not_hinder_the_division(tmp_path: Path):
    rows = "".join(f"{i}.mp4,{i / 7},{'ab'[i % 2]};c\n" for i in range(40))
    file = write(tmp_path, "path,speed,does\n" + rows)
    source = Table(file=file, label=("speed", "does"), number=("speed",), multi=("does",))
    assert [len(source.samples(split)) for split in ("train", "val", "test")] == [28, 6, 6]


def test_folders_of_images(tmp_path: Path):
    frames = moving_square(1, 0)
    write_images(tmp_path / "a", frames)
    write_clip(tmp_path / "b.mp4", frames)
    file = write(tmp_path, "path,label\na,x\nb.mp4,x\n")
    source = Table(file=file, image_rate=10, fractions=Fractions(val=0, test=0))
    durations: list[float] = []
    for sample in source.samples("train"):
        with sample.open() as video:
            durations.append(video.duration_seconds)
    assert durations == pytest.approx([0.8, 0.32])
