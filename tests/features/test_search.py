"""Similar videos: those of the largest cosine, without the clip itself, by the model that made the file."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.clips import moving_square, write_clip, write_motion
from tests.evaluation.motion import classifier_of
from tubelet.data.folders import Folders
from tubelet.data.table import Table
from tubelet.errors import ConfigError, DataError
from tubelet.features import file
from tubelet.features.extract import extract_features
from tubelet.features.file import Features, read_features
from tubelet.features.search import maker, same_part, search
from tubelet.loading import load

CLASSES = ("right", "left")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("motion"), 4, ("train", "test"))


@pytest.fixture(scope="module")
def features(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Features:
    folder = tmp_path_factory.mktemp("made")
    classifier_of(CLASSES).save(folder / "model")
    classifier = load(folder / "model")
    return extract_features(classifier, Folders(root=root), folder / "f.parquet", progress=False)


def test_the_likest_first_and_not_the_clip_itself(
    root: Path, features: Features, monkeypatch: pytest.MonkeyPatch
):
    clip = root / "test/left/01.mp4"
    found = search(clip, features, top=5)
    vectors = torch.nn.functional.normalize(features.vectors(), dim=1)
    paths = features.rows["path"].to_pylist()
    cosines = vectors @ vectors[paths.index(str(clip))]
    order = [i for i in cosines.argsort(descending=True).tolist() if paths[i] != str(clip)][:5]
    assert [hit.path for hit in found] == [paths[i] for i in order]
    assert [hit.similarity for hit in found] == pytest.approx(cosines[order].tolist(), abs=1e-5)
    assert found[0].labels["label"] == Path(found[0].path).parent.name
    assert found[0].split in ("train", "test")
    monkeypatch.setattr(file, "READ_BYTES", 3 * 16 * 4)  # some rows at a time
    assert [hit.path for hit in search(clip, features, top=5)] == [hit.path for hit in found]
    assert len(search(clip, features, top=100)) == 15


def test_a_copy_is_found(root: Path, features: Features, tmp_path: Path):
    copy = tmp_path / "copy.mp4"
    shutil.copy(root / "test/right/02.mp4", copy)
    best = search(copy, features, top=1)[0]
    assert best.path == str(root / "test/right/02.mp4")
    assert best.similarity == pytest.approx(1, abs=1e-5)


def test_another_model_is_refused(root: Path, features: Features, tmp_path: Path):
    other = classifier_of(CLASSES)
    with torch.no_grad():
        other.model.head.bias[0] += 1e-3
    clip = root / "test/left/01.mp4"
    with pytest.raises(DataError, match="was made by another model"):
        search(clip, features, other)
    other.save(tmp_path / "other")
    with pytest.raises(DataError, match="was made by another model"):
        maker(features, tmp_path / "other")
    half = maker(features).to(dtype=torch.bfloat16)
    with pytest.raises(DataError, match="precision"):
        search(clip, features, half)
    with pytest.raises(DataError, match="was made by another model"):
        search(clip, features, maker(features).with_fewer_tokens(merge=0.1))
    with pytest.raises(ConfigError, match="top=0"):
        search(clip, features, top=0)


def test_a_model_that_was_no_file_has_to_be_given(root: Path, tmp_path: Path):
    classifier, videos = classifier_of(CLASSES), sorted((root / "test/left").iterdir())
    found = extract_features(classifier, videos, tmp_path / "f.parquet", progress=False)
    with pytest.raises(ConfigError, match="give the model"):
        search(videos[0], found)
    assert [hit.labels for hit in search(videos[0], found, classifier)] == [{}] * 3


def test_the_same_part_of_the_same_file(tmp_path: Path):
    """Of a long video its other parts are found, and not the one that was asked for."""
    video = write_clip(tmp_path / "long.mp4", moving_square(1, 0, frames=60))
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    table = tmp_path / "parts.csv"
    rows = [f"long.mp4,{begin},{begin + 0.4},x,all" for begin in (0, 0.4, 0.8, 1.2)]
    table.write_text("\n".join(["path,from,to,label,split", *rows]))
    source = Table(file=table, start="from", end="to", split="split")
    found = extract_features(classifier_of(("x",)), source, tmp_path / "f.parquet", progress=False)
    assert same_part(found, video, (0.4, 0.8)) == {1}
    assert same_part(found, link, (0.45, 0.9)) == {1}
    assert same_part(found, video, (None, None)) == {0, 1, 2, 3}
    assert same_part(found, tmp_path / "other" / "long.mp4", (0.4, 0.8)) == set()
    hits = search(video, found, classifier_of(("x",)), start_seconds=0.4, end_seconds=0.8)
    assert sorted(hit.start_seconds for hit in hits if hit.start_seconds is not None) == [0.0, 0.8, 1.2]


def test_read_again(features: Features):
    assert torch.equal(read_features(features.file).vectors(), features.vectors())
