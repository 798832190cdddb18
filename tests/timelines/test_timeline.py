"""From a video to a timeline, and to every file that shows it."""

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.streaming.test_engine import ENCODER, VIEW, make
from tests.test_classifier import film
from tubelet import ConfigError, DecodeError, Head, Labels, Rules, Video, timeline
from tubelet.cli import timeline as command
from tubelet.timelines.chart import clock, largest_in_columns, time_marks
from tubelet.timelines.page import as_page
from tubelet.timelines.picture import draw_timeline
from tubelet.timelines.timeline import Timeline, Tracker
from tubelet.timelines.write import as_csv, as_srt, probabilities_csv, put

CLASSIFIER = make(ENCODER, VIEW)
LABELS = Labels((Head("act", ("rest", "<run>", "jump")), Head("seen", ("dog", "cat"), "multi")))


def made_up() -> Timeline:
    """Six answers of two seconds, one second apart."""
    single = np.array([[4, 0, 0], [4, 0, 0], [0, 4, 0], [0, 4, 0], [0, 4, 0], [0, 0, 1]])
    multi = np.array([[3, -3], [3, 3], [3, 3], [-3, 3], [-3, -3], [-3, -3]])
    starts = np.arange(6.0)
    return Timeline(
        video="folder/a.mp4",
        labels=LABELS,
        logits=np.concatenate([single, multi], axis=1).astype(np.float32),
        windows=np.stack([starts, starts + 2], axis=1),
        stretches=np.zeros(6, np.int64),
    )


def test_answers_are_those_of_windows(tmp_path: Path) -> None:
    file = film(tmp_path / "a.mp4", 41)
    found = timeline(CLASSIFIER, file, hop=4)
    with Video(file) as video:
        windows = list(replace(VIEW, hop=4).windows(video))
    logits = CLASSIFIER.run(torch.stack([w.pixels for w in windows]))
    assert found.logits == pytest.approx(logits.numpy(), abs=1e-5)
    assert found.windows[:, 0] == pytest.approx([w.start_seconds for w in windows], abs=1e-6)
    assert found.complete
    assert found.duration_seconds == pytest.approx(4.1)
    assert len(timeline(CLASSIFIER, file).windows) > len(windows)  # a quarter of a window is one tubelet
    assert timeline(CLASSIFIER, file, window_seconds=2.0, hop=8).windows[0] == pytest.approx([0, 2], abs=1e-6)


def test_each_answer_counts_around_its_middle() -> None:
    found = made_up()
    assert found.edges.tolist() == [[0, 1.5], [1.5, 2.5], [2.5, 3.5], [3.5, 4.5], [4.5, 5.5], [5.5, 7]]
    assert [(s.label, s.start_seconds, s.end_seconds) for s in found.segments()] == [
        ("rest", 0.0, 2.5), ("<run>", 2.5, 5.5), ("jump", 5.5, 7.0), ("dog", 0.0, 3.5), ("cat", 1.5, 4.5),
    ]  # fmt: skip
    assert found.at(3.0, "seen") == ["dog", "cat"]
    assert found.at(6.0, "seen") == []
    assert found.probabilities("act").sum(axis=1) == pytest.approx(np.ones(6))
    by_logits = replace(found, rules=Rules(smooth="mean", smooth_seconds=2, average="logits"))
    assert by_logits.probabilities("seen")[2] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))])
    careful = replace(found, labels=LABELS.with_threshold("act", 0.9))
    assert careful.at(6.0) == ["unknown"]
    assert careful.at(1.0) == ["rest"]


def test_tables_and_subtitles() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(made_up()))))
    assert rows[1]["label"] == "<run>"
    assert (rows[1]["start_seconds"], rows[1]["end_seconds"]) == ("2.5", "5.5")
    table = list(csv.DictReader(io.StringIO(probabilities_csv(made_up()))))
    assert len(table) == 6
    assert float(table[1]["seen: cat"]) == pytest.approx(0.95257, abs=1e-4)
    cues = as_srt(made_up()).split("\n\n")
    assert cues[0] == "1\n00:00:00,000 --> 00:00:01,500\nact: rest\nseen: dog"
    assert cues[1].splitlines()[2:] == ["act: rest", "seen: dog", "seen: cat"]
    assert [c.splitlines()[1] for c in cues] == [
        f"00:00:0{a} --> 00:00:0{b}"
        for a, b in (
            ("0,000", "1,500"), ("1,500", "2,500"), ("2,500", "3,500"), ("3,500", "4,500"), ("4,500", "5,500"),
            ("5,500", "7,000"),
        )
    ]  # fmt: skip


def test_page_and_picture() -> None:
    page = as_page(replace(made_up(), cuts=(2.0,)))
    assert "&lt;run&gt;" in page
    assert "<run>" not in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    with Image.open(io.BytesIO(draw_timeline(made_up()))) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    blue = (abs(pixels - np.array([31, 100, 180])) < 30).all(axis=2)
    orange = (abs(pixels - np.array([226, 114, 20])) < 10).all(axis=2)
    assert blue.sum() > 5000
    assert orange.sum() > 3000
    empty = replace(
        made_up(), logits=np.zeros((0, 5), np.float32), windows=np.zeros((0, 2)), stretches=np.zeros(0, int)
    )
    assert "None." in as_page(empty)
    assert draw_timeline(empty)


def test_columns_and_clocks() -> None:
    found = largest_in_columns(np.array([[0.2], [0.9]], np.float32), np.array([[0.0, 1], [3, 4]]), 4.0, 4)
    assert found[:, 0] == pytest.approx([0.2, np.nan, np.nan, 0.9], nan_ok=True)
    assert time_marks(7.0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [clock(s) for s in (7.5, 61, 3725.04)] == ["0:07.5", "1:01", "1:02:05"]


def test_the_command_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, model = film(tmp_path / "a.mp4", 41), str(make(ENCODER, VIEW).save(tmp_path / "model"))
    assert command.main("x", [str(file), "--model", model]) == 0
    assert "class" in capsys.readouterr().out
    kinds = ("json", "csv", "srt", "probabilities", "png", "html", "overlay")
    files = {kind: tmp_path / "out" / f"a.{kind}" for kind in kinds}
    asked = [str(file), "--model", model, *(part for k, f in files.items() for part in (f"--{k}", str(f)))]
    assert command.main("x", asked) == 0
    found = json.loads(files["json"].read_text())
    assert found["complete"]
    assert found["segments"]
    assert {f.name for f in files["json"].parent.iterdir()} == {f.name for f in files.values()}
    with av.open(str(files["overlay"])) as made, av.open(str(file)) as plain:
        ours, theirs = (list(c.decode(video=0)) for c in (made, plain))
    assert [f.time for f in ours] == pytest.approx([f.time for f in theirs], abs=1e-3)
    pairs = zip(ours, theirs, strict=True)
    change = np.stack(
        [abs(a.to_ndarray(format="gray").astype(int) - b.to_ndarray(format="gray")) for a, b in pairs]
    )
    assert change[:, -12:, :20].mean() > 5 * change[:, :15].mean()  # the text is at the lower left
    with pytest.raises(FileExistsError, match="--overwrite"):
        command.main("x", asked)
    assert command.main("x", [*asked, "--overwrite"]) == 0
    with pytest.raises(FileExistsError):
        put(files["csv"], "")


def test_what_was_seen_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted, or the video breaks off."""
    file, model = film(tmp_path / "a.mp4", 80), str(make(ENCODER, VIEW).save(tmp_path / "model"))
    real = Tracker.run

    def stopped(problem: BaseException) -> None:
        def run(self: Tracker, progress: bool = False) -> None:
            real(self, progress)
            self.complete = False
            raise problem

        monkeypatch.setattr(Tracker, "run", run)

    for problem, code in ((KeyboardInterrupt(), 130), (DecodeError("broken."), 1)):
        stopped(problem)
        target = tmp_path / f"{code}.json"
        assert command.main("x", [str(file), "--model", model, "--json", str(target)]) == code
        assert not json.loads(target.read_text())["complete"]
    monkeypatch.undo()
    with pytest.raises(DecodeError, match="no such file"):
        command.main("x", [str(tmp_path / "none.mp4"), "--model", model])
    with pytest.raises(ConfigError, match="has no end"):
        command.main("x", ["rtsp://127.0.0.1/x", "--model", model])


def test_memory_does_not_grow_with_the_video() -> None:
    """Twenty times as long: what is held more are the answers."""

    def frames(count: int) -> Iterator[tuple[Tensor, float]]:
        for number in range(count):
            yield torch.full((3, 16, 16), number % 256, dtype=torch.uint8), number / 10

    peaks = []
    for count in (400, 8000):
        tracemalloc.start()
        found = timeline(make(ENCODER, VIEW), frames(count), hop=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found.windows) == count / 8
    assert peaks[1] - peaks[0] < 950 * 400
