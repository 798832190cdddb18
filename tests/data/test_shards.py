"""Shards: written whole, gone on with, read from disk and HTTP, and by the package they are named after."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.clips import moving_square, write_clip
from tests.data.files import write, write_images
from tubelet.data import sharding, stored
from tubelet.data.dataset import ClipDataset, EpochSampler, batches, mix
from tubelet.data.sharding import Sharding, write_shards
from tubelet.data.shards import Shards
from tubelet.data.source import UNKNOWN
from tubelet.data.table import Table
from tubelet.errors import ConfigError, DataError, DecodeError
from tubelet.video.decode import Video
from tubelet.video.view import View

VIEW = View(frames=4, stride=1, size=16, resize=20, value_range=(0.0, 1.0))
SMALL = Sharding(clips_per_shard=3)
QUIET = pytest.mark.filterwarnings("ignore")
"""webdataset leaves files open."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Seven clips for training: files, a segment, a folder of images; a broken file; two clips for validation."""
    tmp_path = tmp_path_factory.mktemp("clips")
    rows = ["path,label,does,from,to,split"]
    for number in range(7):
        write_clip(tmp_path / f"{number}.mp4", moving_square(1, number, frames=12))
        split = "val" if number > 4 else "train"
        rows.append(f"{number}.mp4,{'ab'[number % 2]},{'x;y' if number else ''},,,{split}")
    write_images(tmp_path / "images", moving_square(-1, 7))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows += ["0.mp4,b,;,0.2,0.4,train", "images,a,x,,,train", "broken.mp4,a,x,,,train"]
    file = write(tmp_path / "clips.csv", "\n".join(rows) + "\n")
    return Table(
        file=file, label=("label", "does"), multi=("does",), start="from", end="to", split="split", image_rate=10
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    write_shards(table, out, SMALL, progress=False)
    return out


@pytest.fixture
def shards(written: Path, tmp_path: Path) -> Shards:
    return Shards(root=str(shutil.copytree(written, tmp_path / "out")))


def pixels_of(video: Video) -> torch.Tensor:
    with video:
        return video.frames(range(len(video)))


def test_what_is_written(table: Table, shards: Shards) -> None:
    index = json.loads(Path(shards.root, "index.json").read_text())
    assert sorted(p.name for p in Path(shards.root).iterdir()) == [
        "index.json", "train-000000.tar", "train-000001.tar", "train-000002.tar", "val-000000.tar",
    ]  # fmt: skip
    assert index["clips"] == {"train": 7, "val": 2}
    for shard in index["shards"]:
        data = Path(shards.root, shard["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])
    (left_out,) = [clip for shard in index["shards"] for clip in shard["left_out"]]
    assert left_out["video"].endswith("broken.mp4")
    assert "cannot be opened" in left_out["error"]
    assert shards.labels == table.labels
    assert shards.splits == ("train", "val")


def test_the_clips_are_those_of_the_source(table: Table, shards: Shards) -> None:
    originals = [s for s in table.samples("train") if s.path.name != "broken.mp4"]
    found = {hashlib.sha256(s.stored.read()).hexdigest(): s for s in shards.samples("train") if s.stored}
    copied = 0
    for sample in originals:
        if sample.path.is_dir() or sample.start_seconds is not None:
            continue
        same = found.pop(hashlib.sha256(sample.path.read_bytes()).hexdigest())  # byte for byte
        assert same.labels == sample.labels
        copied += 1
    assert copied == 5
    by_labels = {s.labels: s for s in found.values()}
    for sample in originals[5:]:  # encoded anew: the segment, the images
        expected, again = pixels_of(sample.open()), by_labels[sample.labels].open()
        assert len(again) == len(expected) == (5 if sample.start_seconds else 8)
        assert again.frame_rate == (25 if sample.start_seconds else 10)
        assert (pixels_of(again).float() - expected.float()).abs().mean() < 3
    assert {s.labels[1] for s in originals} == {UNKNOWN, (0, 1), (), (0,)}


def test_the_same_clips_give_the_same_files(table: Table, shards: Shards, tmp_path: Path) -> None:
    write_shards(table, tmp_path / "again", SMALL, workers=2, progress=False)
    for file in Path(shards.root).iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_smaller_pictures(table: Table, tmp_path: Path) -> None:
    write_shards(table, tmp_path / "small", Sharding(short_side=20, crf=10), progress=False)
    for sample in Shards(root=str(tmp_path / "small")).samples("val"):
        with sample.open() as video:
            assert (video.height, video.width, len(video)) == (20, 20, 12)


def test_an_interrupted_run_goes_on(
    table: Table, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written, whole = tmp_path / "cut", list[str](), sharding.write_shard

    def failing(folder: Path, shard: sharding.Shard, *rest: Any) -> dict[str, Any]:
        if len(written) == 2:
            (folder / f"{shard.file}.part").write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        written.append(shard.file)
        return whole(folder, shard, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(sharding, "write_shard", failing)
        with pytest.raises(DataError, match=r"No space left on device.*goes on from here"):
            write_shards(table, out, SMALL, progress=False)
    with pytest.raises(DataError, match=r"index.json cannot be read"):
        _ = Shards(root=str(out)).labels
    with pytest.raises(ConfigError, match="other clips, or made otherwise"):
        write_shards(table, out, Sharding(clips_per_shard=2), progress=False)
    kept = (out / written[0]).stat().st_mtime_ns
    report = write_shards(table, out, SMALL, progress=False)
    assert (report.clips, report.shards, len(report.left_out)) == (9, 4, 1)
    assert (out / written[0]).stat().st_mtime_ns == kept  # not written again
    for file in Path(shards.root).iterdir():
        assert (out / file.name).read_bytes() == file.read_bytes()
    assert len(list(out.iterdir())) == 5


def test_nothing_is_overwritten(table: Table, shards: Shards, tmp_path: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in Path(shards.root).iterdir()}
    assert (
        write_shards(table, Path(shards.root), SMALL, progress=False).clips == 9
    )  # all there: nothing to do
    assert {p.name: p.stat().st_mtime_ns for p in Path(shards.root).iterdir()} == before
    with pytest.raises(ConfigError, match="other clips, or made otherwise"):
        write_shards(table, Path(shards.root), Sharding(), progress=False)
    with pytest.raises(ConfigError, match="holds no shards"):
        write_shards(table, tmp_path, SMALL, progress=False)


@QUIET
def test_webdataset_reads_them(shards: Shards) -> None:
    webdataset = pytest.importorskip("webdataset")
    files = [str(p) for p in sorted(Path(shards.root).glob("train-*.tar"))]
    read = list(webdataset.WebDataset(files, shardshuffle=False).decode())
    samples = shards.samples("train")
    assert [item["__key__"] for item in read] == [s.path.stem for s in samples]
    for item, sample in zip(read, samples, strict=True):
        assert len(pixels_of(Video(item["mp4"]))) == len(sample.open())
        head = shards.labels.heads[0]
        assert item["json"]["labels"]["label"] == head.classes[int(sample.labels[0])]  # pyright: ignore
    assert {tuple(item["json"]["labels"]["does"] or "") for item in read} == {(), ("x", "y"), ("x",)}


@QUIET
def test_one_head_has_its_class_beside_each_clip(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write_clip(tmp_path / "1.mp4", moving_square(1, 0))
    file = write(tmp_path / "t.csv", "path,label,split\n1.mp4,a,train\n1.mp4,b,train\n")
    source = Table(file=file, split="split")
    write_shards(source, tmp_path / "out", Sharding(), progress=False)
    (tar,) = (tmp_path / "out").glob("*.tar")
    found = [item["cls"] for item in webdataset.WebDataset(str(tar), shardshuffle=False).decode()]
    assert found == [s.labels[0] for s in Shards(root=str(tmp_path / "out")).samples("train")]


def test_the_order_goes_from_shard_to_shard(shards: Shards) -> None:
    dataset = ClipDataset(shards.samples("train"), VIEW, seed=5)
    sampler = batches(dataset, 2, shuffle=True)[1]
    files = [s.stored.file if s.stored else "" for s in dataset.samples]
    orders: list[list[int]] = []
    for epoch in range(4):
        sampler.epoch = epoch
        orders.append([index for _, index in sampler])
        runs = [files[i] for i in orders[-1]]
        assert sorted(orders[-1]) == list(range(7))
        assert sum(a != b for a, b in pairwise(runs)) == 2  # each shard once
    assert len({tuple(order) for order in orders}) == 4
    again = batches(ClipDataset(shards.samples("train"), VIEW, seed=5), 2, shuffle=True)[1]
    again.epoch = 2
    assert [index for _, index in again] == orders[2]


def test_the_order_of_single_files_is_one_shuffle() -> None:
    sampler = EpochSampler(10, 4)
    sampler.epoch = 2
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(mix(4, 2))).tolist()
    assert [index for _, index in sampler] == expected


class Server(BaseHTTPRequestHandler):
    """Files of a folder with range requests, as object stores have them; fails first where told to."""

    folder: Path
    ranges = True
    failures = 0
    requests: list[str]

    def do_GET(self) -> None:
        kind = type(self)
        kind.requests.append(self.headers.get("Range") or "whole")
        if kind.failures:
            kind.failures -= 1
            return self.answer(503, b"")
        file = self.folder / self.path.strip("/")
        if not file.is_file():
            return self.answer(404, b"")
        data, asked = file.read_bytes(), self.headers.get("Range")
        if asked is None or not kind.ranges:
            return self.answer(200, data)
        first, last = (int(n) for n in asked.removeprefix("bytes=").split("-"))
        return self.answer(206, data[first : last + 1])

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"folder": Path(shards.root), "requests": []})
    monkeypatch.setattr(stored, "PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", handler
        running.shutdown()
        thread.join()


def test_shards_behind_http(shards: Shards, server: tuple[str, type[Server]]) -> None:
    url, handler = server
    remote = Shards(root=url)
    assert remote.labels == shards.labels
    sets = [ClipDataset(s.samples("train"), VIEW, seed=1, labels=s.labels) for s in (shards, remote)]
    for workers in (0, 2):
        here, there = (list(batches(dataset, 2, shuffle=True, workers=workers)[0]) for dataset in sets)
        assert len(here) == 4
        for a, b in zip(here, there, strict=True):
            assert a.indices == b.indices
            assert torch.equal(a.pixels, b.pixels)
            assert torch.equal(a.targets.nan_to_num(9), b.targets.nan_to_num(9))
    assert handler.requests.count("whole") == 1  # the index; of the shards only what is needed


def test_a_server_that_fails_for_the_moment_is_asked_again(server: tuple[str, type[Server]]) -> None:
    url, handler = server
    sample = Shards(root=url).samples("train")[0]
    handler.failures = 2
    assert len(sample.open()) > 0
    handler.failures = 10
    with pytest.raises(DataError, match=r"train-000000.tar cannot be read: .*503"):
        sample.open()
    handler.failures = 0
    handler.ranges = False
    with pytest.raises(DataError, match="whole files only"):
        sample.open()
    with pytest.raises(DataError, match=r"index.json cannot be read: .*404"):
        _ = Shards(root=f"{url}/nowhere").labels


def test_damaged_shards_are_found(shards: Shards) -> None:
    first, *others = shards.samples("train")
    assert first.stored is not None
    file = Path(first.stored.file)
    data = bytearray(file.read_bytes())
    data[first.stored.offset + 100] ^= 255
    file.write_bytes(data)
    with pytest.raises(DecodeError, match="not what was written there"):
        first.open()
    assert len(others[0].open()) > 0
    file.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        others[0].open()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "zip"}, "an index of 'zip', version 1"),
        ({"version": 2}, "version 2; Tubelet knows"),
        ({"heads": []}, "Labels need heads"),
        ({"shards": [{"file": "x.tar"}]}, "is no index of shards .KeyError: 'clips'"),
        ({"shards": 3}, "is no index of shards"),
    ],
)
def test_bad_indices_are_named(shards: Shards, change: dict[str, Any], sentence: str) -> None:
    file = Path(shards.root, "index.json")
    index = json.loads(file.read_text())
    file.write_text(json.dumps(index | change))
    with pytest.raises(DataError, match=sentence):
        _ = Shards(root=shards.root).labels
    index["shards"][0]["clips"][0]["labels"] = [7, -1]
    file.write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"the label 7 of .* is none of the head 'label'"):
        _ = Shards(root=shards.root).labels
    file.write_text("[")
    with pytest.raises(DataError, match="is no index of shards"):
        _ = Shards(root=shards.root).labels


@pytest.mark.parametrize("fields", [{"clips_per_shard": 0}, {"short_side": 1}, {"crf": 52}])
def test_settings_that_make_no_sense(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Sharding(**fields)
