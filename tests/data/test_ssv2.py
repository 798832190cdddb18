import json
from pathlib import Path

import pytest

from tests.data.files import touch, write
from tubelet.data.source import UNKNOWN
from tubelet.data.ssv2 import SomethingSomethingV2
from tubelet.errors import DataError

LABELS = {
    "Putting something on a surface": "1",
    "Holding something": "0",
    "Pushing something so it falls": "2",
}


def entry(number: int, template: str) -> dict[str, object]:
    return {"id": str(number), "label": template.lower(), "template": template, "placeholders": ["a cup"]}


def release(root: Path, prefix: str = "") -> SomethingSomethingV2:
    annotations = root / "labels"
    files = {
        "labels": LABELS,
        "train": [entry(7, "Putting [something] on a surface"), entry(8, "Holding [something]")],
        "validation": [entry(9, "Pushing [something] so it falls"), entry(11, "Holding [something]")],
        "test": [{"id": "10"}],
    }
    for name, values in files.items():
        write(annotations / f"{prefix}{name}.json", json.dumps(values))
    touch(root / "videos", "7.webm", "8.webm", "9.webm", "10.webm")
    return SomethingSomethingV2(root=root / "videos", annotations=annotations)


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_official_files_and_numbers(tmp_path: Path, prefix: str) -> None:
    source = release(tmp_path, prefix)
    classes = ("Holding something", "Putting something on a surface", "Pushing something so it falls")
    assert source.labels.heads[0].classes == classes
    assert [(s.id, s.path.name, s.labels) for s in source.samples("train")] == [
        ("7", "7.webm", (1,)),
        ("8", "8.webm", (0,)),
    ]
    assert [s.labels for s in source.samples("val")] == [(2,)]
    assert [s.labels for s in source.samples("test")] == [(UNKNOWN,)]
    assert source.missing == {"val": ("11",)}


def test_folders_of_frames(tmp_path: Path) -> None:
    source = release(tmp_path)
    touch(tmp_path / "frames", "7/00001.jpg", "8/00001.jpg")
    frames = SomethingSomethingV2(root=tmp_path / "frames", annotations=source.annotations, image_rate=12)
    assert [(s.path.name, s.image_rate) for s in frames.samples("train")] == [("7", 12), ("8", 12)]
    assert frames.splits == ("train",)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("labels", [], "no object of templates"),
        ("labels", {"a": "0", "b": "0"}, "'b' has the number '0', which is none, or taken"),
        ("labels", {"a": "0", "b": "2"}, "none has the number 1"),
        ("labels", {"a": "x"}, "number 'x'"),
        ("train", {}, "no list of clips"),
        ("train", ["7"], "entry 1: no object"),
        ("train", [{"id": "7"}], "entry 1: no 'template'"),
        ("train", [entry(7, "Dancing")], "entry 1: the template 'Dancing' is not in labels.json"),
        ("train", [{"template": "Holding [something]"}], "entry 1: no 'id'"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, values: object, sentence: str) -> None:
    source = release(tmp_path)
    file = write(source.annotations / f"{name}.json", json.dumps(values))
    with pytest.raises(DataError, match=sentence) as error:
        _ = source.labels
    assert str(file) in str(error.value)


def test_no_json_and_no_files(tmp_path: Path) -> None:
    source = release(tmp_path)
    write(source.annotations / "train.json", "[{]")
    with pytest.raises(DataError, match=r"train.json is no JSON file"):
        _ = source.labels
    for name in ("train", "validation", "test"):
        (source.annotations / f"{name}.json").unlink()
    with pytest.raises(DataError, match=r"holds none of train.json, validation.json, test.json"):
        _ = source.labels
