"""What is wrong with a dataset is found, and what is right is left alone."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.clips import moving_square, write_clip
from tests.data.files import write
from tubelet.data import examine
from tubelet.data.check import Report, check
from tubelet.data.encode import encode
from tubelet.data.folders import Folders
from tubelet.data.kinetics import Kinetics
from tubelet.data.quarantine import Without, write_list
from tubelet.data.table import Table
from tubelet.video.decode import Video


def scene(seed: int, frames: int = 16) -> np.ndarray:
    """A textured picture (F, H, W, 3) over which a bright blob wanders."""
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(40, 160, (8, 8)), np.ones((8, 8)))
    rows, columns = (np.cumsum(rng.normal(0, 4, frames)) + rng.integers(16, 48) for _ in range(2))
    y, x = np.mgrid[:64, :64]
    blobs = [90 * np.exp(-((y - r) ** 2 + (x - c) ** 2) / 60) for r, c in zip(rows, columns, strict=True)]
    return np.stack([base + blob for blob in blobs]).clip(0, 255).astype(np.uint8)[..., None].repeat(3, -1)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Two classes in three splits, with one fault of each kind."""
    root = tmp_path_factory.mktemp("faulty")
    for number in range(3):
        for label in "ab":
            write_clip(root / f"train/{label}/{number}.mp4", scene(number + 10 * (label == "b")))
    write_clip(root / "val/a/0.mp4", scene(20))
    write_clip(root / "test/a/0.mp4", scene(21), rate=30)
    write_clip(root / "test/b/0.mp4", scene(22, frames=20))
    (root / "train/a/broken.mp4").write_bytes(b"no video")
    cut = (root / "train/a/0.mp4").read_bytes()
    (root / "train/b/cut.mp4").write_bytes(cut[: len(cut) // 2])
    (root / "test/b/exact.mp4").write_bytes((root / "train/b/0.mp4").read_bytes())
    with Video(root / "train/b/1.mp4") as video:
        (root / "val/b").mkdir()
        (root / "val/b/near.mp4").write_bytes(encode(video, 48, 28))
    (root / "train/a/twice.mp4").write_bytes((root / "train/b/2.mp4").read_bytes())  # and of another class
    return Folders(root=root)


@pytest.fixture(scope="module")
def report(faulty: Folders) -> Report:
    return check(faulty, progress=False)


def names(report: Report, near: bool) -> list[list[str]]:
    found = [c for c in report.copies if (c.likeness < 1) == near]
    return sorted(["/".join(s.path.parts[-3:]) for s in c.clips] for c in found)


def test_every_fault_is_found(report: Report) -> None:
    assert report.complete
    assert not report.sound
    broken = {sample.path.name: why for sample, why in report.broken}
    assert set(broken) == {"broken.mp4", "cut.mp4"}
    assert "cannot be opened" in broken["broken.mp4"]
    assert names(report, near=False) == [
        ["train/a/twice.mp4", "train/b/2.mp4"],
        ["train/b/0.mp4", "test/b/exact.mp4"],
    ]
    assert names(report, near=True) == [["train/b/1.mp4", "val/b/near.mp4"]]
    assert [c.contradiction for c in report.copies if not c.leak] == [True]


def test_what_the_splits_are_made_of(report: Report) -> None:
    train, test = report.splits["train"], report.splits["test"]
    assert (train.clips, train.readable) == (9, 7)
    assert train.classes == {"label": {"a": 5, "b": 4}}
    assert train.sizes == {"64x64": 7}
    assert test.frame_rates == {"25": 2, "30": 1}
    assert test.frames == (16, 16, 20)
    assert test.seconds == pytest.approx((16 / 30, 16 / 25, 20 / 25))
    assert report.splits["val"].sizes == {"64x64": 1, "48x48": 1}
    assert json.loads(json.dumps(report.to_dict()))["splits"]["val"]["classes_missing"] == {"label": []}


def test_without_the_quarantine_nothing_leaks(faulty: Folders, report: Report, tmp_path: Path) -> None:
    left = report.quarantine()
    assert sorted("/".join(s.path.parts[-3:]) for s, _ in left) == [
        "train/a/broken.mp4", "train/b/0.mp4", "train/b/1.mp4", "train/b/cut.mp4",
    ]  # fmt: skip
    assert any("nearly the same as" in why and why.endswith("near.mp4 of val") for _, why in left)
    write_list(tmp_path / "list.csv", left)
    again = check(Without(source=faulty, clips=tmp_path / "list.csv"), progress=False)
    assert not again.broken
    assert not again.leaks
    assert not again.quarantine()


def test_workers_find_the_same(faulty: Folders, report: Report) -> None:
    assert check(faulty, workers=2, progress=False).to_dict() == report.to_dict()


def test_a_sound_source_is_sound(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val")):
        for label in (0, 1):
            write_clip(tmp_path / split / f"class {label}" / "0.mp4", scene(2 * number + label))
    report = check(Folders(root=tmp_path), progress=False)
    assert report.sound
    assert not report.quarantine()


def test_classes_that_cannot_be_learned(tmp_path: Path) -> None:
    for number in range(3):
        write_clip(tmp_path / f"{number}.mp4", moving_square(1, number))
    rows = "path,label,who,split,speed\n0.mp4,a,ann,train,1\n1.mp4,b,bob,val,2\n2.mp4,a,ann,val,3\n"
    file = write(tmp_path / "t.csv", rows)
    table = Table(file=file, label=("label", "speed"), number=("speed",), split="split")
    report = check(table, progress=False)
    assert report.untrained == {"label": ["b"]}
    assert not report.sound
    assert list(report.splits["train"].classes) == ["label"]  # numbers have no classes
    assert report.torn == {}


def test_groups_of_official_splits(tmp_path: Path) -> None:
    rows = "label,youtube_id,time_start,time_end,split\na,one,0,1,train\na,one,1,2,val\na,gone,1,2,val\n"
    file = write(tmp_path / "k.csv", rows)
    write_clip(tmp_path / "one_000000_000001.mp4", scene(0))
    write_clip(tmp_path / "one_000001_000002.mp4", scene(1))
    report = check(Kinetics(root=tmp_path, annotations=file), progress=False)
    assert report.torn == {"one": ("train", "val")}
    assert report.splits["val"].missing == ("gone_000001_000002",)
    assert not report.sound
    write_list(tmp_path / "none.csv", [])
    source = Without(source=Kinetics(root=tmp_path, annotations=file), clips=tmp_path / "none.csv")
    assert check(source, progress=False).to_dict() == report.to_dict()


def test_an_interruption_reports_what_was_decoded(faulty: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., examine.Finding] = examine.Examiner.__getitem__

    def stopping(self: examine.Examiner, index: int) -> examine.Finding:
        if index == 4:
            raise KeyboardInterrupt
        return whole(self, index)

    monkeypatch.setattr(examine.Examiner, "__getitem__", stopping)
    report = check(faulty, progress=False)
    assert not report.complete
    assert sum(split.readable for split in report.splits.values()) + len(report.broken) == 4


def test_images_of_other_streams_are_the_same_pixels(tmp_path: Path) -> None:
    """A copy with another container is an exact copy: what counts is what is seen."""
    write_clip(tmp_path / "train/a/0.mp4", scene(0))
    (tmp_path / "test/a").mkdir(parents=True)
    with (
        av.open(str(tmp_path / "train/a/0.mp4")) as read,
        av.open(str(tmp_path / "test/a/1.mkv"), "w") as written,
    ):
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    (copies,) = check(Folders(root=tmp_path), progress=False).leaks
    assert copies.likeness == 1


@pytest.mark.parametrize("how", ["half", "grey"])
def test_copies_of_clips_that_all_look_alike(shared: Path, tmp_path: Path, how: str) -> None:
    """One face before one camera: copies are found however they were made, and nobody else is taken for one."""
    clips = sorted((shared / "data/grid-s1/videos").glob("*.mp4"))[:6]
    rows = ["path,label,split", *(f"{clip},x,train" for clip in clips)]
    for number in (1, 4):
        copy = tmp_path / f"{number}.mp4"
        with Video(clips[number]) as video:
            if how == "half":
                copy.write_bytes(encode(video, 80, 23))
            else:
                pixels = video.frames(range(len(video))).permute(0, 2, 3, 1).float().mean(-1, keepdim=True)
                write_clip(copy, pixels.repeat(1, 1, 1, 3).to(torch.uint8).numpy())
        rows.append(f"{copy},x,test")
    file = write(tmp_path / "t.csv", "\n".join(rows) + "\n")
    leaks = check(Table(file=file, split="split"), progress=False).leaks
    found = [tuple(s.path.stem for s in copies.clips) for copies in leaks]
    assert found == [(clips[1].stem, "1"), (clips[4].stem, "4")]
