"""Streams from every kind of source; what is slow skips and says so, and never lags."""

import io
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.clips import write_clip
from tests.streaming.test_engine import ENCODER, VIEW, make
from tests.test_classifier import film
from tubelet import ConfigError, DecodeError, Video
from tubelet.streaming import sources
from tubelet.streaming.decoding import Decoding
from tubelet.streaming.reader import Reader
from tubelet.streaming.sources import Frame, Origin, Pace, Raw, TensorFrame, origin_of
from tubelet.streaming.stream import stream
from tubelet.streaming.windows import Windows

CLASSIFIER = make(ENCODER, replace(VIEW, stride=2))


def test_a_file_gives_the_answers_of_its_windows(tmp_path: Path) -> None:
    """As fast as can be, nothing skipped, in the order of time, the last one to the end."""
    file = film(tmp_path / "a.mp4", 45)
    found = list(stream(CLASSIFIER, file, hop=8))
    with Video(file) as video:
        windows = list(CLASSIFIER.view.windows(video))
    for answer, window in zip(found[:2], windows[:2], strict=True):
        assert answer.prediction.indices[0].tolist() == window.indices.tolist()
        expected = CLASSIFIER.run(window.pixels[None])[0]
        torch.testing.assert_close(answer.prediction.logits, expected, atol=1e-5, rtol=1e-5)
    assert found[-1].prediction.indices[0, -1] == 44
    assert {(a.skipped_answers, a.skipped_frames) for a in found} == {(0, 0)}
    assert list(found[0].to_dict(1)) == [
        "video", "start_seconds", "end_seconds", "latency_seconds", "skipped_answers", "skipped_frames", "heads",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["phone_rotation_90.mov", "derived_nasa_vfr.mp4", "vp8_vorbis_bbb.webm"])
def test_frames_are_those_of_the_file_path(name: str, shared: Path) -> None:
    """Turned, of a variable rate, with frames that are never shown: same times, same pixels."""
    file = shared / "data" / "decoder-robustness" / name
    with Video(file) as video:
        for number, frame in enumerate(origin_of(file).open(Pace(keep_up=False))):
            assert frame.seconds == pytest.approx(video.timestamps[number], abs=1e-5)
            assert number % 40 or torch.equal(frame.pixels(), video.frames([number])[0])
        assert number + 1 == len(video)


def still(count: int, rate: float) -> Iterator[tuple[Tensor, float]]:
    for number in range(count):
        yield torch.full((3, 16, 16), number % 256, dtype=torch.uint8), number / rate


class Slow:
    """A model in whose time the source gives `busy` frames, one every 10 ms by a clock of their own.

    Frame n + 1 is asked for when the reader is done with frame n, so that no other clock is needed.
    """

    def __init__(self, busy: int, at_first: int) -> None:
        self.busy, self.allowed, self.asked = busy, at_first, 0
        self.changed = threading.Condition()
        self.classifier = make(ENCODER, VIEW)
        self.features = self.classifier.model.features_of_frames
        self.classifier.model.features_of_frames = self  # pyright: ignore[reportAttributeAccessIssue]

    def frames(self, count: int) -> Iterator[tuple[Tensor, float]]:
        for number, (picture, seconds) in enumerate(still(count, 100)):
            self.wait(number)
            yield picture, seconds
        self.wait(count)

    def wait(self, number: int) -> None:
        with self.changed:
            self.asked = number
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: number < self.allowed, timeout=60)

    def __call__(self, vectors: Tensor) -> Tensor:
        with self.changed:
            self.allowed += self.busy
            self.changed.notify_all()
            end = min(self.allowed, 400)
            assert self.changed.wait_for(lambda: self.asked >= end, timeout=60)
        return self.features(vectors)

    def monotonic(self) -> float:
        return self.asked / 100


def test_a_slow_model_skips_and_never_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is due every 2 frames, and 15 arrive while the model makes one."""
    slow = Slow(busy=15, at_first=8)
    for module in ("stream", "reader"):
        monkeypatch.setattr(f"tubelet.streaming.{module}.time", slow)
    tracemalloc.start()
    found, held = [], []
    for answer in stream(slow.classifier, slow.frames(400), keep_up=True):
        found.append(answer)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # The newest window there is, every time: it ends with the last frame but one or with the last.
    last = [answer.prediction.indices[0, -1].item() for answer in found]
    assert last[:-1] == [7 + 15 * n - n % 2 for n in range(len(last) - 1)]
    assert last[-1] == 399
    # The time of the model, and of a frame that waits for the next; who lags would be ever further behind.
    assert max(answer.latency_seconds for answer in found) <= 0.171
    assert sum(a.skipped_answers for a in found) == 197 - len(found)
    # Every frame was in an answered window, or is counted.
    seen = {n for a in found for n in a.prediction.indices[0].tolist()}
    assert len(seen) + sum(a.skipped_frames for a in found) == 400
    assert held[-1] < held[2] + 200_000
    # No window has a jump in it.
    assert all((a.prediction.indices[0].diff() == 1).all() for a in found)


def test_without_keeping_up_nothing_is_skipped() -> None:
    found = list(stream(make(ENCODER, VIEW), still(40, 100), realtime=True, keep_up=False))
    assert len(found) == (40 - 8) // 2 + 1
    assert {a.skipped_answers for a in found} == {0}


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_slow_decoder_leaves_out_up_to_a_key_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of film that take four: what is given is never much more than the bound behind, and is counted."""
    clock = Clock()
    monkeypatch.setattr("tubelet.streaming.decoding.time", clock)
    monkeypatch.setattr("tubelet.streaming.decoding.BEHIND_SECONDS", 0.2)
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w") as container:
        out = container.add_stream("mpeg4", rate=50)
        out.width, out.height, out.pix_fmt, out.gop_size = 32, 32, "yuv420p", 5
        for number in range(100):
            picture = np.full((32, 32, 3), number, np.uint8)
            container.mux(out.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(out.encode(None))
    reading = Decoding("a", av.open(str(file)), live=False, keep_up=True, realtime=True)
    begun, given, lost, behind = None, 0, 0, []
    for frame in reading.frames():
        begun = clock.now if begun is None else begun
        behind.append(clock.now - begun - frame.seconds)
        given, lost = given + 1, lost + frame.lost
        clock.sleep(0.04)
    assert given + lost + reading.lost == 100
    assert lost > 20
    assert max(behind) < 0.35


def test_standard_input(tmp_path: Path) -> None:
    """Raw frames, and an encoded stream that is not sought in."""
    pixels = torch.stack([picture for picture, _ in still(21, 10)])
    data = pixels.permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    raw = Raw(width=16, height=16, frames_per_second=10)
    found = list(stream(make(ENCODER, VIEW), "-", raw=raw, keep_up=False, stdin=io.BytesIO(data)))
    assert len(found) == 8
    assert found[-1].prediction.end_seconds == pytest.approx(2.1)
    with pytest.raises(DecodeError, match=r"frame 20: it ends after 700 of the 768 bytes"):
        list(stream(CLASSIFIER, "-", raw=raw, stdin=io.BytesIO(data[: -768 + 700])))

    file = write_clip(tmp_path / "a.ts", np.zeros((30, 32, 32, 3), np.uint8))
    found = list(stream(CLASSIFIER, "-", keep_up=False, stdin=io.BytesIO(file.read_bytes())))
    assert [a.prediction.indices[0, 0].item() for a in found] == [0, 4, 8, 12, 14]
    with pytest.raises(DecodeError, match="standard input: cannot be opened as a video stream"):
        list(stream(CLASSIFIER, "-", stdin=io.BytesIO(b"no video" * 100)))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://someone:secret@127.0.0.1:{running.server_port}"
        running.shutdown()


def test_over_http(server: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.ts", np.zeros((30, 32, 32, 3), np.uint8))
    found = list(stream(CLASSIFIER, f"{server}/a.ts", keep_up=False))
    assert len(found) == 5
    assert "secret" not in found[0].prediction.video
    with pytest.raises(DecodeError, match=r"nothing\.ts: cannot be opened as a video stream") as caught:
        list(stream(CLASSIFIER, f"{server}/nothing.ts"))
    assert "secret" not in str(caught.value)


def test_a_live_source_is_opened_again(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends twice, and the times go on; no window reaches over the gap; then it is given up."""
    write_clip(tmp_path / "a.ts", np.zeros((20, 32, 32, 3), np.uint8))
    monkeypatch.setattr("tubelet.streaming.reader.LONGEST_PAUSE_SECONDS", 0.3)
    running = stream(CLASSIFIER, f"{server}/a.ts", keep_up=False, retries=2)
    found = [next(running) for _ in range(6)]
    with pytest.raises(DecodeError, match="the stream ended"):
        next(running)
    starts = [a.prediction.indices[0, 0].item() for a in found]
    assert starts == [0, 4, 21, 25, 42, 46]
    times = [a.prediction.start_seconds for a in found]
    assert times == sorted(times)
    assert times[len(times) // 3] >= 0.3
    assert all((a.prediction.indices[0].diff() == 2).all() for a in found)


def test_a_source_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, sentence in (
        ("nowhere.mp4", "there is no such file"),
        ("webcam:7", "webcam:7: cannot be opened as a video stream"),
    ):
        with pytest.raises(DecodeError, match=sentence):
            list(stream(CLASSIFIER, source))
    with pytest.raises(ConfigError, match="streams are read from rtsp://"):
        stream(CLASSIFIER, "gopher://a")
    file = film(tmp_path / "a.mp4", 20)
    with pytest.raises(ConfigError, match="retries=1 is for devices"):
        stream(CLASSIFIER, file, retries=1)
    with pytest.raises(ConfigError, match="realtime is for files"):
        stream(CLASSIFIER, "rtsp://127.0.0.1/a", realtime=True)
    with pytest.raises(ConfigError, match="Raw frames are read from standard input"):
        stream(CLASSIFIER, file, raw=Raw(width=8, height=8))
    with pytest.raises(ConfigError, match="above 0"):
        Raw(width=0, height=8)
    with pytest.raises(DecodeError, match="appears at 0"):
        list(stream(CLASSIFIER, [(torch.zeros(3, 16, 16, dtype=torch.uint8), 0.0)] * 2))
    (tmp_path / "cut.mp4").write_bytes(write_clip(tmp_path / "b.mp4", noise(60)).read_bytes()[:-3000])
    with pytest.raises(DecodeError):
        list(stream(CLASSIFIER, tmp_path / "cut.mp4"))
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(sources, "opened_stream", lambda *given: opened.append(given))
    for system, device in (("linux", "/dev/video2"), ("darwin", "2"), ("win32", "video=2")):
        monkeypatch.setattr(sources.sys, "platform", system)
        sources.opened_camera("webcam:2", 5.0)
        assert opened[-1][1:] == (device, sources.CAMERAS[system], {}, 5.0)


def test_a_stream_that_is_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DecodeError, match="nothing arrived in time"):
            list(stream(CLASSIFIER, address, timeout_seconds=0.5))


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3), np.uint8)


def test_a_stream_that_is_left_stops_reading() -> None:
    """Closing the iterator ends the thread; damage is told after the answers before it."""
    asked: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(10_000):
            asked.append(number)
            yield TensorFrame(torch.zeros(3, 16, 16, dtype=torch.uint8), number / 100)

    running = stream(make(ENCODER, VIEW), ((f.pixels(), f.seconds) for f in frames()))
    next(running)
    running.close()
    time.sleep(0.1)
    count = len(asked)
    time.sleep(0.1)
    assert len(asked) == count < 200
    assert "tubelet-reader" not in {t.name for t in threading.enumerate()}


def test_answers_before_the_break_are_given() -> None:
    def broken(_: Pace) -> Iterator[Frame]:
        for number in range(9):
            yield TensorFrame(torch.zeros(3, 16, 16, dtype=torch.uint8), number / 10)
        raise DecodeError("the cable is out.")

    origin = Origin(name="x", live=True, again=True, open=broken)
    reader = Reader(origin, Windows(VIEW, 1), Pace(keep_up=False))
    reader.start()
    assert reader.take() is not None
    assert reader.take() is not None
    with pytest.raises(DecodeError, match="cable"):
        reader.take()
    reader.stop()
