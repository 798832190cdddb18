"""Features of many videos in a file: right, whole, and the same bytes however often the work was killed."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
import torch.distributed as dist

from tests.clips import write_motion
from tests.evaluation.motion import classifier_of
from tests.features.made import digest, write
from tubelet.data.folders import Folders
from tubelet.data.table import Table
from tubelet.engines.model import EngineModel
from tubelet.errors import ConfigError, DataError
from tubelet.features import extract, journal
from tubelet.features.extract import extract_features
from tubelet.features.file import read_features
from tubelet.features.layer import Layer

CLASSES = ("right", "left")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_motion(tmp_path_factory.mktemp("motion"), 5, ("train", "test"))
    (root / "test/left/broken.mp4").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out.parquet"
    extract_features(classifier_of(CLASSES), Folders(root=root), out, chunk=12, progress=False)
    return out


def test_the_vectors_of_classifier_features(root: Path, whole: Path):
    classifier, source, found = classifier_of(CLASSES), Folders(root=root), read_features(whole)
    samples = [*source.samples("train"), *source.samples("test")]
    vectors = found.vectors()
    assert vectors.shape == (20, 16)
    good = [sample for sample in samples if sample.path.name != "broken.mp4"]
    for sample, vector in zip(good, vectors, strict=True):
        torch.testing.assert_close(vector, classifier.features(str(sample.path)), rtol=1e-5, atol=1e-5)
    assert found.rows["path"].to_pylist() == [str(sample.path) for sample in samples]
    assert found.rows["label.label"].to_pylist() == [sample.path.parent.name for sample in samples]
    assert found.rows["split"].to_pylist() == ["train"] * 10 + ["test"] * 11
    assert found.labels("label") == [sample.labels[0] for sample in samples]


def test_an_unreadable_video_is_a_row_with_its_error(whole: Path):
    found = read_features(whole)
    ((path, error),) = found.unreadable
    assert path.endswith("test/left/broken.mp4")
    assert "cannot be opened" in error
    rows = pyarrow.parquet.read_table(whole).to_pylist()
    assert [row["vector"] is None for row in rows] == [row["error"] is not None for row in rows]
    assert [row["index"] for row in rows] == list(range(21))


def test_the_file_says_what_made_it(root: Path, whole: Path):
    metadata = pyarrow.parquet.read_schema(whole).metadata
    said = json.loads(metadata[b"tubelet"])
    assert (said["layer"], said["views"], said["shape"], said["videos"]) == ("head", "2x3", [16], 21)
    assert said["view"] == classifier_of(CLASSES).view.to_dict()
    assert torch.__version__.startswith(said["versions"]["torch"])
    assert len(said["model_sha256"]) == 64
    assert read_features(whole).description.heads == Folders(root=root).labels.heads


def slowly(root: Path, out: Path) -> None:
    """An extraction in a process of its own, that takes its time and keeps every batch."""
    torch.set_num_threads(1)
    write, extract.KEEP_SECONDS = journal.write, 0.0

    def late(*arguments: Any) -> None:
        write(*arguments)
        time.sleep(0.2)

    journal.write = late  # type: ignore[assignment]
    extract_features(classifier_of(CLASSES), Folders(root=root), out, chunk=12, progress=False)


def processes(jobs: list[tuple[Any, ...]]) -> list[multiprocessing.context.ForkServerProcess]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tubelet.features.extract", "tests.evaluation.motion"])
    members = [context.Process(target=job, args=arguments) for job, *arguments in jobs]
    for process in members:
        process.start()
    return members


def test_killed(root: Path, whole: Path, tmp_path: Path):
    """By SIGKILL, twice, and half a part left behind: the same bytes, and nothing computed twice."""
    out = tmp_path / "out.parquet"
    folder = journal.parts_of(out)
    for parts in (2, 4):
        (process,) = processes([(slowly, root, out)])
        while len(list(folder.glob("*.parquet"))) < parts:
            assert process.is_alive()
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert not out.exists(), "it is there when it is whole"
    (folder / "000000020-000000020.part").write_bytes(b"PAR1")
    kept = [i for part in journal.parts(folder) for i in journal.read(part, ["index"])["index"].to_pylist()]
    assert 4 <= len(kept) < 21
    seen: list[int] = []
    classifier = classifier_of(CLASSES)
    features = classifier.model.features
    classifier.model.features = lambda clips: (seen.append(len(clips)), features(clips))[1]  # type: ignore[method-assign]
    extract_features(classifier, Folders(root=root), out, chunk=12, progress=False)
    broken = read_features(out).unreadable[0][0]
    missing = [i for i in range(21) if i not in kept and read_features(out).rows["path"][i].as_py() != broken]
    assert sum(seen) == 6 * len(missing)
    assert digest(out) == digest(whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.parquet"]
    seen.clear()
    before = out.stat().st_mtime_ns
    extract_features(classifier, Folders(root=root), out, chunk=12, progress=False)
    assert (seen, out.stat().st_mtime_ns) == ([], before), "finished: not computed again"


def test_interrupted_and_gone_on_with_other_batches(
    root: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    out, write = tmp_path / "out.parquet", journal.write
    monkeypatch.setattr(extract, "KEEP_SECONDS", 0.0)

    def stop(*arguments: Any) -> None:
        write(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(journal, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        extract_features(classifier_of(CLASSES), Folders(root=root), out, chunk=12)
    monkeypatch.undo()
    assert "The same command goes on" in capsys.readouterr().err
    found = extract_features(classifier_of(CLASSES), Folders(root=root), out, chunk=30)
    assert "of 21 videos were done" in capsys.readouterr().err
    torch.testing.assert_close(found.vectors(), read_features(whole).vectors(), rtol=1e-5, atol=1e-5)
    assert found.rows["index"].to_pylist() == list(range(21))


def member(rank: int, store: Path, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    extract_features(classifier_of(CLASSES), Folders(root=root), out, chunk=12, progress=False)
    dist.destroy_process_group()


def test_two_processes(root: Path, whole: Path, tmp_path: Path):
    out = tmp_path / "out.parquet"
    members = processes([(member, rank, tmp_path / "store", root, out) for rank in range(2)])
    for process in members:
        process.join()
    assert [process.exitcode for process in members] == [0, 0]
    assert digest(out) == digest(whole)


def test_many_row_groups_and_half_precision(
    root: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Parts of any size become row groups of one size, and what is read does not depend on either."""
    monkeypatch.setattr(journal, "GROUP_BYTES", 5 * 16 * 4)
    monkeypatch.setattr(extract, "KEEP_BYTES", 7 * 16 * 4)
    monkeypatch.setattr("tubelet.features.file.READ_BYTES", 3 * 16 * 4)
    source, classifier = Folders(root=root), classifier_of(CLASSES)
    small = extract_features(classifier, source, tmp_path / "small.parquet", chunk=12, progress=False)
    groups = pyarrow.parquet.ParquetFile(small.file).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [5, 5, 5, 5, 1]
    assert torch.equal(small.vectors(), read_features(whole).vectors())
    chosen = np.zeros(21, dtype=bool)
    chosen[[2, 9, 20]] = True
    expected = read_features(whole).vectors(chosen)
    assert torch.equal(small.vectors(chosen), expected)
    assert [int(p) for places, _ in small.parts() for p in places] == list(np.flatnonzero(small.answered))
    half = extract_features(
        classifier, source, tmp_path / "half.parquet", chunk=12, storage="float16", progress=False
    )
    assert torch.equal(half.vectors(chosen), expected.half().float())


def test_reading_holds_a_part_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every vector passes by, and no more than a few row groups are in memory."""
    monkeypatch.setattr(journal, "GROUP_BYTES", 2**20)
    monkeypatch.setattr("tubelet.features.file.READ_BYTES", 2**18)
    vectors = np.random.default_rng(0).normal(size=(20_000, 256)).astype(np.float32)  # 20 groups
    features = write(tmp_path / "f.parquet", vectors, [()] * 20_000, [""] * 20_000, heads=())
    assert features.rows.num_rows == 20_000
    del vectors
    before, most, seen = pyarrow.total_allocated_bytes(), 0, 0
    for places, part in features.parts():
        seen += len(part)
        assert len(places) == len(part)
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert seen == 20_000
    assert most < 6 * 2**20


def test_tokens_and_moments(root: Path, tmp_path: Path):
    classifier, source = classifier_of(CLASSES), Folders(root=root)
    options: dict[str, Any] = {"views": "1x1", "splits": ("train",), "progress": False}
    tokens = extract_features(
        classifier, source, tmp_path / "t.parquet", layer="encoder", pool="none", **options
    )
    moments = extract_features(
        classifier, source, tmp_path / "m.parquet", layer="encoder", pool="moments", **options
    )
    assert tokens.description.shape == (1, 9, 16)
    assert tokens.tokens().shape == (10, 9, 16)
    torch.testing.assert_close(tokens.vectors(), tokens.tokens().mean(dim=1))
    by_time = tokens.tokens()[:, 1:].reshape(10, 2, 4, 16).mean(dim=2)
    torch.testing.assert_close(moments.vectors(), by_time.flatten(1))
    with pytest.raises(ConfigError, match="--pool none"):
        moments.tokens()


def test_videos_without_labels_and_parts_of_videos(root: Path, tmp_path: Path):
    classifier = classifier_of(CLASSES)
    videos = sorted((root / "train/left").iterdir())
    found = extract_features(classifier, videos, tmp_path / "u.parquet", progress=False)
    assert (found.description.heads, found.splits, found.vectors().shape) == ((), (), (5, 16))
    with pytest.raises(ConfigError, match="a list of videos has none"):
        extract_features(classifier, videos, tmp_path / "v.parquet", splits=("train",))
    with pytest.raises(DataError, match="There are no videos"):
        extract_features(classifier, [], tmp_path / "v.parquet")
    table = tmp_path / "parts.csv"
    rows = [f"{videos[0]},{begin},{begin + 0.16},x;y,{begin}" for begin in (0, 0.16)]
    table.write_text("\n".join(["path,from,to,what,amount", *rows]))
    source = Table(
        file=table, label=("what", "amount"), multi=("what",), number=("amount",), start="from", end="to"
    )
    parts = extract_features(classifier, source, tmp_path / "p.parquet", progress=False)
    assert parts.rows["start_seconds"].to_pylist() == [0.0, 0.16]
    assert parts.rows["what.label"].to_pylist() == [["x", "y"]] * 2
    assert parts.rows["amount.label"].to_pylist() == [[0.0], [0.16]]
    assert torch.equal(parts.targets("what", parts.answered), torch.ones(2, 2))


def test_other_settings_are_refused_and_named(root: Path, whole: Path, tmp_path: Path):
    classifier, source, before = classifier_of(CLASSES), Folders(root=root), digest(whole)
    with pytest.raises(
        DataError, match=r"the views: 2x3 there, 1x1 here\s+the precision of the file: float32"
    ):
        extract_features(classifier, source, whole, views="1x1", storage="float16")
    with pytest.raises(DataError, match="the layer: head there, encoder here"):
        extract_features(classifier, source, whole, layer="encoder")
    other = classifier_of(CLASSES)
    with torch.no_grad():
        other.model.head.bias[0] += 1e-3
    with pytest.raises(DataError, match="the model: "):
        extract_features(other, source, whole)
    assert digest(whole) == before
    out = tmp_path / "begun.parquet"
    journal.begin(out, replace(read_features(whole).description, views="1x1"))
    with pytest.raises(DataError, match="holds the beginning of other features"):
        extract_features(classifier, source, out)
    (tmp_path / "not.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no Parquet file"):
        extract_features(classifier, source, tmp_path / "not.parquet")


def test_an_exported_model_has_none():
    model = EngineModel.__new__(EngineModel)
    torch.nn.Module.__init__(model)
    model.path = Path("model.onnx")
    with pytest.raises(ConfigError, match="exported model"):
        Layer.of().check(model)


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the 1 videos has features"):
        extract_features(classifier_of(CLASSES), [tmp_path / "broken.mp4"], tmp_path / "o.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken.mp4"]


def test_numbers_that_are_none(root: Path, tmp_path: Path):
    classifier = classifier_of(CLASSES)
    features = classifier.model.features
    scale = iter([1.0, 1e9, float("nan")])
    classifier.model.features = lambda clips: features(clips) * next(scale)  # type: ignore[method-assign]
    videos = sorted((root / "train/left").iterdir())[:3]
    found = extract_features(
        classifier, videos, tmp_path / "o.parquet", views="1x1", chunk=1, storage="float16", progress=False
    )
    assert list(found.answered) == [True, False, False]
    assert "not finite numbers of float16" in found.unreadable[0][1]


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tubelet.features.columns.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tubelet\[parquet\]'"):
        extract_features(classifier_of(CLASSES), ["a.mp4"], tmp_path / "o.parquet")
    with pytest.raises(ConfigError, match="needs pyarrow"):
        read_features(tmp_path / "o.parquet")
