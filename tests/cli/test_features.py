"""`tubelet features`, `tubelet probe` and `tubelet search`, as they are typed."""

import json
from pathlib import Path

import pytest

from tests.clips import write_motion
from tests.evaluation.motion import classifier_of
from tests.features.made import clouds
from tubelet.cli import features, probe, search
from tubelet.errors import ConfigError, DataError
from tubelet.features.file import read_features


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    write_motion(place / "clips", 4, ("train", "test"))
    classifier_of(("left", "right")).save(place / "model")
    return place


def typed(place: Path, data: str, out: str, *flags: str) -> int:
    arguments = [
        str(place / data),
        str(place / out),
        "--model",
        str(place / "model"),
        "--workers",
        "0",
        *flags,
    ]
    return features.main("tubelet features", arguments)


def test_features_probe_and_search(place: Path, capsys: pytest.CaptureFixture[str]):
    assert typed(place, "clips", "all.parquet", "--views", "1x1", "--layer", "encoder", "--pool", "none") == 0
    assert "16 of 16 videos, layer encoder, none, shape (1, 9, 16), float32" in capsys.readouterr().out
    arguments = [str(place / "all.parquet"), "--epochs", "1", "--json", str(place / "probe.json")]
    assert probe.main("tubelet probe", arguments) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("knn", "linear", "attentive", "top-1", "epoch 1 of 1"))
    assert len(json.loads((place / "probe.json").read_text())["results"]) == 3
    with pytest.raises(FileExistsError):
        probe.main("tubelet probe", arguments)
    clip = place / "clips/test/left/00.mp4"
    assert search.main("tubelet search", [str(clip), str(place / "all.parquet"), "--top", "3"]) == 0
    assert capsys.readouterr().out.count(".mp4") == 3
    flags = ["--json", "-", "--model", str(place / "model")]
    assert search.main("tubelet search", [str(clip), str(place / "all.parquet"), *flags]) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    assert len(found) == 10
    assert str(clip) not in [hit["path"] for hit in found]
    assert set(found[0]) == {"similarity", "path", "start_seconds", "end_seconds", "id", "split", "labels"}


def test_one_split(place: Path):
    assert typed(place, "clips", "test.parquet", "--split", "test") == 0
    assert read_features(place / "test.parquet").splits == ("test",)


def test_a_folder_of_videos(place: Path, capsys: pytest.CaptureFixture[str]):
    """Right in it, or anywhere below it where that is said; one that cannot be read is named and is exit code 1."""
    assert typed(place, "clips/test/left", "some.parquet") == 0
    assert "4 videos without labels" in capsys.readouterr().err
    (place / "deep").mkdir()
    (place / "deep/broken.mp4").write_bytes(b"nothing")
    (place / "deep/more").symlink_to(place / "clips/train")
    assert typed(place, "deep", "deep.parquet", "--unlabelled") == 1
    assert "broken.mp4" in capsys.readouterr().err
    assert read_features(place / "deep.parquet").description.videos == 9
    with pytest.raises(ConfigError, match="has no splits"):
        typed(place, "deep", "no.parquet", "--unlabelled", "--split", "train")
    (place / "empty").mkdir()
    with pytest.raises(DataError, match="There is no video in"):
        typed(place, "empty", "no.parquet", "--unlabelled")
    with pytest.raises(ConfigError, match="the data are table"):
        typed(place, "clips.csv", "no.parquet", "--unlabelled")


def test_one_file_or_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = clouds(tmp_path / "a.parquet", count=40, test=20).file
    second = clouds(tmp_path / "b.parquet", count=20, test=20).file
    assert probe.main("p", ["--train", str(first), "--test", str(second), "--method", "knn"]) == 0
    assert "b.parquet" in capsys.readouterr().out
    for wrong in ([], ["--train", str(first)], [str(first), "--train", str(first), "--test", str(second)]):
        with pytest.raises(ConfigError, match="Give one file"):
            probe.main("p", wrong)
