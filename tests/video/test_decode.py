"""Decoding: exact frames by index, against a plain decode of the whole file, on real and on self-made files."""

import csv
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tubelet.errors import ConfigError, DecodeError
from tubelet.video.decode import Video
from tubelet.video.images import list_images

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
ROBUSTNESS = SHARED / "data" / "decoder-robustness"
GRID = SHARED / "data" / "grid-s1" / "videos"
TABLE = ROBUSTNESS / "expected.csv"
needs_shared = pytest.mark.skipif(not TABLE.exists(), reason=f"the clips of {ROBUSTNESS} are not here")

ROWS = list(csv.DictReader(TABLE.read_text().splitlines())) if TABLE.exists() else []
HEALTHY = {row["file"]: row for row in ROWS if row["result"] == "ok"}
DAMAGED = {row["file"]: row for row in ROWS if row["result"].startswith("decode error")}
UNREADABLE = {row["file"]: row for row in ROWS if row["file"] not in HEALTHY | DAMAGED}


def each(rows: dict[str, dict[str, str]]) -> pytest.MarkDecorator:
    """One test for each file; one skipped test where the files are not here."""
    return pytest.mark.parametrize("file", list(rows) or [pytest.param("absent", marks=needs_shared)])


# What the message must say for each kind of failure in the table.
SAYS = {
    "no frames": "no frame can be decoded",
    "no video stream": "no video stream",
    "cannot be opened": "cannot be opened|is empty",
}
# A full decode of every file must stay small in memory.
FRAMES_COMPARED = 200


def plain_decode(path: Path, limit: int | None = None) -> list[NDArray[np.uint8]]:
    """Every frame as PyAV alone gives it: (H, W, 3), turned by the frame's rotation."""
    frames: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            frames.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
            if len(frames) == limit:
                break
    return frames


@cache
def reference(path: Path) -> list[NDArray[np.uint8]]:
    return plain_decode(path, FRAMES_COMPARED)


@cache
def opened(path: Path) -> Video:
    return Video(path)


def assert_frames(video: Video, indices: Iterable[int], expected: list[NDArray[np.uint8]]) -> None:
    indices = list(indices)
    frames = video.frames(indices)
    assert frames.dtype == torch.uint8
    assert frames.shape == (len(indices), 3, video.height, video.width)
    for index, frame in zip(indices, frames, strict=True):
        np.testing.assert_array_equal(
            frame.permute(1, 2, 0).numpy(), expected[index], err_msg=f"frame {index}"
        )


# ---------------------------------------------------------------- the shared clips


@needs_shared
def test_every_row_of_the_table_is_tested():
    assert len(ROWS) == len(HEALTHY) + len(DAMAGED) + len(UNREADABLE)
    assert {row["result"] for row in UNREADABLE.values()} <= set(SAYS)


@each(HEALTHY)
def test_a_healthy_file_has_its_frames_size_and_rotation(file: str):
    row = HEALTHY[file]
    video = opened(ROBUSTNESS / file)
    stored = (int(row["width"]), int(row["height"]))
    quarter = int(row["rotation"]) % 180 == 90
    assert len(video) == int(row["frames"])
    assert (video.width, video.height) == (stored[::-1] if quarter else stored)
    assert video.timestamps.shape == (len(video),)
    assert video.timestamps[0] == 0
    assert (np.diff(video.timestamps) > 0).all()
    assert video.duration_seconds >= video.timestamps[-1]
    assert video.frame_rate == pytest.approx(len(video) / video.duration_seconds, rel=0.011)
    steps = len({round(step, 6) for step in np.diff(video.timestamps)})
    assert (steps > 2) == (int(row["distinct_frame_steps"]) > 2)


@each(HEALTHY)
def test_a_healthy_file_read_through_equals_a_plain_decode(file: str):
    expected = reference(ROBUSTNESS / file)
    with Video(ROBUSTNESS / file) as video:
        for begin in range(0, len(expected), 16):
            assert_frames(video, range(begin, min(begin + 16, len(expected))), expected)


@each(HEALTHY)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_access_equals_a_plain_decode(file: str, data: st.DataObject):
    expected = reference(ROBUSTNESS / file)
    indices = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=6))
    assert_frames(opened(ROBUSTNESS / file), indices, expected)


@each(HEALTHY)
def test_the_last_frame_reached_by_a_seek_is_the_last_frame_of_the_file(file: str):
    path = ROBUSTNESS / file
    with av.open(str(path)) as container:
        *_, last = container.decode(container.streams.video[0])
    with Video(path) as video:
        found = video.frames([len(video) - 1])[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, np.rot90(last.to_ndarray(format="rgb24"), last.rotation // 90))


@each(HEALTHY)
def test_a_healthy_file_is_the_same_when_damage_is_kept(file: str):
    kept = Video(ROBUSTNESS / file, damaged="keep")
    np.testing.assert_array_equal(kept.timestamps, opened(ROBUSTNESS / file).timestamps)
    kept.close()


@each(DAMAGED)
def test_damage_raises_or_keeps_the_frames_before_it(file: str):
    path, good = ROBUSTNESS / file, int(DAMAGED[file]["frames"])
    with pytest.raises(DecodeError, match=f"{file}, frame {good}: .*fails"):  # noqa: PT012
        video = Video(path)
        video.frames(range(len(video)))
    kept = Video(path, damaged="keep")
    assert len(kept) == good
    frames = kept.frames(range(good))
    torch.testing.assert_close(kept.frames([good - 1, 0]), frames[[good - 1, 0]], rtol=0, atol=0)


@pytest.mark.parametrize("damaged", ["raise", "keep"])
@each(UNREADABLE)
def test_an_unreadable_file_is_refused_by_name_and_cause(file: str, damaged: str):
    with pytest.raises(DecodeError, match=f"{file}: .*({SAYS[UNREADABLE[file]['result']]})"):
        Video(ROBUSTNESS / file, damaged=damaged)  # pyright: ignore[reportArgumentType]


@needs_shared
@pytest.mark.parametrize("place", [0, 500])
def test_talking_faces(place: int):
    path = sorted(GRID.iterdir())[place]
    expected = plain_decode(path)
    with Video(path) as video:
        assert len(video) == len(expected)
        assert_frames(video, [len(expected) - 1, 3, 3, len(expected) // 2, 0], expected)


@needs_shared
@pytest.mark.parametrize("file", ["vp9_60s.webm", "mpeg4_mp3_60s.avi"])
def test_a_segment_of_a_long_file(file: str):
    whole = opened(ROBUSTNESS / file)
    segment = Video(ROBUSTNESS / file, start_seconds=40.0, end_seconds=42.0)
    first = int(np.searchsorted(whole.timestamps, 40.0 - 0.5 / whole.frame_rate))
    assert len(segment) == 48
    assert segment.timestamps[0] == 0
    assert segment.duration_seconds == pytest.approx(2.0, abs=0.01)
    torch.testing.assert_close(segment.frames([5, 0]), whole.frames([first + 5, first]), rtol=0, atol=0)
    with pytest.raises(IndexError, match=r"frame 48 is outside 0\.\.47"):
        segment.frames([48])


# ---------------------------------------------------------------- clips made here

SIZE = (64, 48)
LENGTH = 40


def picture(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A smooth picture that no other index has."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (7 + c) + index * 0.9) + np.cos(y / (5 + c) - index * 0.7) for c in range(3)]
    return np.uint8(127 + 60 * np.stack(waves, axis=-1))


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    b_frames: int = 0,
    group: int = 10,
    ticks: Iterable[int] = range(LENGTH),
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    rotation: int = 0,
) -> Path:
    """Frames at 25 per second; `ticks` are their times in units of 1/25 s."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = group
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, 25)
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_hidden_frames(path: Path) -> Path:
    """VP8 whose every fifth packet is preceded by one that is decoded and never shown."""
    source = write_clip(path.with_suffix(".mkv"), "libvpx", options={"deadline": "realtime"})
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if not packet.size:
                continue
            if packet.pts % 200 == 120:
                data = bytearray(bytes(packet))
                data[0] &= ~0x10
                hidden = av.Packet(bytes(data))
                hidden.stream, hidden.time_base = copy, packet.time_base
                hidden.pts = hidden.dts = packet.pts - 20
                new.mux(hidden)
            packet.stream = copy
            new.mux(packet)
    return path


def with_edit_list(path: Path) -> Path:
    """MP4 whose edit list hides the first 15 frames, none of which is a key frame but the first."""
    source = write_clip(path.with_stem("source"), options=X264, b_frames=2, group=LENGTH)
    with (
        av.open(str(source)) as old,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size:
                shift = int(Fraction(15, 25) / packet.time_base)
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = copy
                new.mux(packet)
    return path


X264 = {"preset": "fast", "scenecut": "0"}
CLIPS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda p: write_clip(p, options=X264, b_frames=3),
    "h264_short_groups.mp4": lambda p: write_clip(p, options=X264, b_frames=3, group=3),
    "h264_open_groups.mp4": lambda p: write_clip(
        p, options=X264 | {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=10:scenecut=0"}
    ),
    "h264_open_groups.mkv": lambda p: write_clip(
        p, options=X264 | {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=10:scenecut=0"}
    ),
    "h264_intra_refresh.mkv": lambda p: write_clip(
        p, options=X264 | {"x264-params": "intra-refresh=1:keyint=10"}
    ),
    "h264_without_times.avi": lambda p: write_clip(p, options=X264, b_frames=3),
    "h264.ts": lambda p: write_clip(p, options=X264, b_frames=3),
    "h264_open_groups.ts": lambda p: write_clip(
        p, options=X264 | {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=10:scenecut=0"}
    ),
    "h264_bare.h264": lambda p: write_clip(p, options=X264, b_frames=3),
    "h264.flv": lambda p: write_clip(p, options=X264, b_frames=3),
    "h264_in_fragments.mp4": lambda p: write_clip(
        p, options=X264, b_frames=3, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "hevc.mkv": lambda p: write_clip(
        p, "libx265", options={"x265-params": "log-level=none:keyint=10:open-gop=1:bframes=3"}, size=(128, 96)
    ),
    "mpeg4.avi": lambda p: write_clip(p, "mpeg4"),
    "mpeg4_with_b_frames.avi": lambda p: write_clip(p, "mpeg4", b_frames=2),
    "mpeg4_with_b_frames.mp4": lambda p: write_clip(p, "mpeg4", b_frames=2),
    "mpeg1.mpg": lambda p: write_clip(p, "mpeg1video", b_frames=2),
    "mpeg2.mpg": lambda p: write_clip(p, "mpeg2video", b_frames=2),
    "mpeg2.ts": lambda p: write_clip(p, "mpeg2video", b_frames=2),
    "vp8.webm": lambda p: write_clip(p, "libvpx", options={"deadline": "realtime"}),
    "vp8_with_hidden_frames.webm": lambda p: with_hidden_frames(p),
    "vp9_with_hidden_frames.webm": lambda p: write_clip(
        p, "libvpx-vp9", options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}
    ),
    "mjpeg.mov": lambda p: write_clip(p, "mjpeg", pixels="yuvj420p"),
    "ffv1.mkv": lambda p: write_clip(p, "ffv1"),
    "rgb.mkv": lambda p: write_clip(p, "ffv1", pixels="bgr0"),
    "palette.gif": lambda p: write_clip(p, "gif", pixels="rgb8"),
    "variable_rate.mp4": lambda p: write_clip(
        p, options=X264, b_frames=2, ticks=[i * i for i in range(LENGTH)]
    ),
    "edit_list.mp4": lambda p: with_edit_list(p),
    "late_start.mkv": lambda p: write_clip(p, options=X264, b_frames=2, ticks=range(200, 200 + LENGTH)),
    "odd_size.mp4": lambda p: write_clip(p, options=X264, size=(63, 47), pixels="yuv444p"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a clip of CLIPS once."""
    folder = tmp_path_factory.mktemp("clips")

    @cache
    def make(name: str) -> Path:
        return CLIPS[name](folder / name)

    return make


@pytest.mark.parametrize("name", CLIPS)
def test_made_clips_by_random_access_equal_a_plain_decode(clip: Callable[[str], Path], name: str):
    expected = plain_decode(clip(name))
    generator = np.random.default_rng(0)
    with Video(clip(name)) as video:
        assert len(video) == len(expected)
        for _ in range(12):
            assert_frames(video, generator.integers(0, len(expected), size=4).tolist(), expected)
        assert_frames(video, range(len(expected)), expected)
        for stride in (2, 3, 7):  # one stretch after the other, without a seek between them
            for start in range(0, len(expected), 12):
                assert_frames(video, range(start, min(start + 12, len(expected)), stride), expected)
    with Video(clip(name), threads=2) as video:
        assert_frames(video, generator.integers(0, len(expected), size=8).tolist(), expected)


def test_packets_that_show_nothing_are_not_counted(clip: Callable[[str], Path]):
    hidden, edited = clip("vp8_with_hidden_frames.webm"), clip("edit_list.mp4")
    for path, packets, frames in ((hidden, LENGTH + 8, LENGTH), (edited, LENGTH, LENGTH - 15)):
        with av.open(str(path)) as container:
            assert sum(packet.size > 0 for packet in container.demux(video=0)) == packets
        with Video(path) as video:
            assert len(video) == frames


def test_timestamps_and_rates(clip: Callable[[str], Path]):
    even, late = Video(clip("h264.mp4")), Video(clip("late_start.mkv"))
    for video in (even, late):
        np.testing.assert_allclose(video.timestamps, np.arange(LENGTH) / 25, atol=1e-9)
        assert video.frame_rate == 25
        assert video.duration_seconds == pytest.approx(LENGTH / 25)
    uneven = Video(clip("variable_rate.mp4"))
    np.testing.assert_allclose(uneven.timestamps, np.arange(LENGTH) ** 2 / 25, atol=1e-9)


def test_frames_at_gives_the_frame_on_screen(clip: Callable[[str], Path]):
    video = Video(clip("variable_rate.mp4"))
    times = [0.0, 0.039, 0.04, 0.159, 0.16, 1.0, 0.99, 0.0]
    assert video.indices_at(times).tolist() == [0, 0, 1, 1, 2, 5, 4, 0]
    torch.testing.assert_close(video.frames_at(times), video.frames([0, 0, 1, 1, 2, 5, 4, 0]), rtol=0, atol=0)
    assert video.indices_at([video.duration_seconds]).tolist() == [LENGTH - 1]
    for outside in (-0.1, video.duration_seconds + 0.1, float("nan")):
        with pytest.raises(IndexError, match=r"s is outside 0\.\."):
            video.frames_at([outside])
    with pytest.raises(TypeError, match="flat list of seconds"):
        video.frames_at([[0.0]])


def test_indices_are_exact(clip: Callable[[str], Path]):
    video = Video(clip("h264.mp4"))
    for outside in (-1, LENGTH):
        with pytest.raises(IndexError, match=rf"h264.mp4: frame {outside} is outside 0\.\.39"):
            video.frames([0, outside])
    for wrong in ([0.5], [[1]], 3):
        with pytest.raises(TypeError, match="flat list of integers"):
            video.frames(wrong)
    assert video.frames([]).shape == (0, 3, 48, 64)
    wanted = [7, 2, 7]
    for indices in (wanted, np.array(wanted), torch.tensor(wanted)):
        torch.testing.assert_close(video.frames(indices), video.frames([2, 7])[[1, 0, 1]], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("start", "end", "first", "stop"),
    [
        (None, None, 0, 40),
        (0.4, None, 10, 40),
        (0.401, None, 10, 40),
        (0.419, None, 10, 40),
        (0.421, 0.8, 11, 20),
        (None, 0.8, 0, 20),
        (0.0, 99.0, 0, 40),
        (1.56, 1.6, 39, 40),
    ],
)
def test_segments(clip: Callable[[str], Path], start: float | None, end: float | None, first: int, stop: int):
    whole = Video(clip("h264.mp4"))
    segment = Video(clip("h264.mp4"), start_seconds=start, end_seconds=end)
    assert len(segment) == stop - first
    assert segment.duration_seconds == pytest.approx((stop - first) / 25)
    assert segment.frame_rate == 25
    np.testing.assert_allclose(segment.timestamps, np.arange(stop - first) / 25, atol=1e-9)
    torch.testing.assert_close(
        segment.frames(range(len(segment))), whole.frames(range(first, stop)), rtol=0, atol=0
    )
    torch.testing.assert_close(segment.frames_at([0.0]), whole.frames([first]), rtol=0, atol=0)


@given(cut=st.floats(0.05, 1.55))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_segments_that_touch_share_no_frame_and_lose_none(clip: Callable[[str], Path], cut: float):
    before, after = Video(clip("h264.mp4"), end_seconds=cut), Video(clip("h264.mp4"), start_seconds=cut)
    assert len(before) + len(after) == LENGTH


def test_a_segment_without_frames_is_refused(clip: Callable[[str], Path]):
    with pytest.raises(DecodeError, match=r"no frame lies from 5 s to 6 s; the video lasts 1.6 s"):
        Video(clip("h264.mp4"), start_seconds=5, end_seconds=6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"start_seconds": 2.0, "end_seconds": 1.0},
        {"start_seconds": -1.0},
        {"start_seconds": float("nan")},
        {"damaged": "skip"},
        {"threads": 0},
        {"frame_rate": 25.0},
    ],
)
def test_senseless_arguments_are_refused(clip: Callable[[str], Path], arguments: dict[str, object]):
    with pytest.raises(ConfigError, match="|".join(arguments)):
        Video(clip("h264.mp4"), **arguments)  # pyright: ignore[reportArgumentType]


# The eight ways to turn a picture: (a, b, c, d) of the display matrix, and the same in numpy.
TURNS: dict[str, tuple[tuple[int, int, int, int], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    "as_stored": ((1, 0, 0, 1), lambda x: x),
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "half_turn": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "counterclockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside_down_mirrored": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    "transposed_and_turned": ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_pictures_are_turned_for_display(clip: Callable[[str], Path], tmp_path: Path, turn: str):
    (a, b, c, d), expected = TURNS[turn]
    data = bytearray(clip("h264.mp4").read_bytes())
    # The track header keeps the matrix 40 bytes behind its name, row by row in 16.16 fixed point.
    matrix = data.index(b"tkhd") + 44
    for place, value in ((0, a), (1, b), (3, c), (4, d)):
        begin = matrix + 4 * place
        data[begin : begin + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    stored = plain_decode(clip("h264.mp4"))
    with Video(path) as video:
        assert (video.height, video.width) == expected(stored[0]).shape[:2]
        assert_frames(video, [0, 17, 39], [expected(frame) for frame in stored])


# ---------------------------------------------------------------- other sources


@pytest.mark.parametrize("name", ["h264.mp4", "palette.gif", "h264.ts"])
def test_bytes_are_a_source(clip: Callable[[str], Path], name: str):
    data = clip(name).read_bytes()
    video = Video(data)
    assert video.name == f"video of {len(data)} bytes"
    assert_frames(video, [30, 2, 31], plain_decode(clip(name)))


def test_a_gif_equals_what_pillow_reads(clip: Callable[[str], Path]):
    video = Video(clip("palette.gif"))
    with Image.open(clip("palette.gif")) as image:
        assert len(video) == image.n_frames
        for index in (0, 1, 20, LENGTH - 1):
            image.seek(index)
            frame = video.frames([index])[0].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(frame, np.asarray(image.convert("RGB")))


def write_images(folder: Path, names: Iterable[str]) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        Image.fromarray(picture(index)).save(folder / name, lossless=True)
    return folder


def test_a_folder_of_images_in_natural_order(tmp_path: Path):
    names = ["img1.png", "img2.bmp", "img9.webp", "img10.png", "img100.PNG"]
    folder = write_images(tmp_path / "images", names)
    (folder / "notes.txt").write_text("not an image")
    video = Video(folder, frame_rate=10)
    assert len(video) == 5
    assert (video.frame_rate, video.duration_seconds) == (10, 0.5)
    assert_frames(video, [4, 0, 2, 2, 3, 1], [picture(index) for index in range(5)])
    assert Video(folder).frame_rate == 25
    segment = Video(folder, frame_rate=10, start_seconds=0.2, end_seconds=0.4)
    assert_frames(segment, [1, 0], [picture(2), picture(3)])
    assert_frames(pickle.loads(pickle.dumps(video)), [3], [picture(index) for index in range(5)])


def test_images_are_turned_and_made_rgb(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "a" / "1.png", exif=exif)
    assert_frames(Video(tmp_path / "a"), [0], [np.rot90(picture(0), -1)])
    (tmp_path / "b").mkdir()
    Image.fromarray(picture(0)[..., 0]).save(tmp_path / "b" / "1.png")
    assert_frames(Video(tmp_path / "b"), [0], [np.repeat(picture(0)[..., :1], 3, axis=-1)])


def test_bad_images_are_named(tmp_path: Path):
    folder = write_images(tmp_path / "images", [f"{index}.png" for index in range(6)])
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:200])
    video = Video(folder)
    video.frames([0, 1, 2, 4])
    with pytest.raises(DecodeError, match=r"images, frame 3: 3\.png cannot be read as an image"):
        video.frames([3])
    assert len(Video(folder, damaged="keep")) == 3
    Image.fromarray(picture(0, (32, 32))).save(folder / "3.png")
    with pytest.raises(DecodeError, match=r"frame 3: 3\.png is 32x32 in a video of 64x48"):
        video.frames([3])
    (folder / "0.png").write_text("no image")
    for damaged in ("raise", "keep"):
        with pytest.raises(DecodeError, match=r"frame 0: 0\.png cannot be read"):
            Video(folder, damaged=damaged)


# ---------------------------------------------------------------- bad files


def test_files_that_are_no_videos(tmp_path: Path, clip: Callable[[str], Path]):
    (tmp_path / "text.mp4").write_text("This is a text, and no video. " * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for name, cause in {
        "missing.mp4": "there is no such file",
        "text.mp4": "cannot be opened as a video",
        "empty.mp4": r"the file is empty \(0 bytes\)",
        "folder": "the folder holds no image",
    }.items():
        for damaged in ("raise", "keep"):
            with pytest.raises(DecodeError, match=f"{name}: {cause}.*\\.$"):
                Video(tmp_path / name, damaged=damaged)
    for data in (b"", b"no video", clip("h264.mp4").read_bytes()[:300]):
        with pytest.raises(DecodeError, match=f"video of {len(data)} bytes: "):
            Video(data)
    with pytest.raises(DecodeError, match="no such file"):
        Video("https://example.invalid/clip.mp4")


@pytest.mark.parametrize("name", ["h264_open_groups.mkv", "hevc.mkv", "ffv1.mkv", "vp8.webm", "h264.flv"])
def test_a_cut_file_raises_or_keeps_its_beginning(clip: Callable[[str], Path], tmp_path: Path, name: str):
    path = tmp_path / name
    data = clip(name).read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    kept = Video(path, damaged="keep")
    assert 10 < len(kept) < LENGTH
    # The last few may have a gap before them; their times say so.
    whole = plain_decode(clip(name))
    assert_frames(kept, range(len(kept)), [whole[round(25 * time)] for time in kept.timestamps])
    with pytest.raises(DecodeError, match=rf"{name}, frame {len(kept)}: .*\.$"):
        Video(path)


@pytest.mark.parametrize("damaged", ["raise", "keep"])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_broken_only_our_error_comes_out(
    clip: Callable[[str], Path], damaged: str, data: st.DataObject
):
    name = data.draw(
        st.sampled_from(["h264.mp4", "mpeg1.mpg", "mpeg4.avi", "vp8.webm", "palette.gif", "hevc.mkv"])
    )
    broken = bytearray(clip(name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(1, len(broken))) :]
    message = "video of a kind that survives"
    try:
        video = Video(bytes(broken), damaged=damaged)  # pyright: ignore[reportArgumentType]
        for index in (len(video) - 1, 0, len(video) // 2):
            video.frames([index])
    except DecodeError as error:
        message = str(error)
    assert message.startswith("video of ")


def test_a_stream_that_changes_its_size(tmp_path: Path):
    small = write_clip(tmp_path / "small.h264", options=X264)
    large = write_clip(tmp_path / "large.h264", options=X264, size=(96, 64))
    data = small.read_bytes() + large.read_bytes()
    with pytest.raises(DecodeError, match="frame 40: the picture changes its size to 96x64"):
        Video(data)
    assert len(Video(data, damaged="keep")) == LENGTH


def test_a_cover_picture_is_no_video(tmp_path: Path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24").reformat(format="yuvj420p")
        container.mux(cover.encode(frame))
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        noise.sample_rate = 8000
        container.mux(sound.encode(noise))
        container.mux(sound.encode(None))
    with pytest.raises(DecodeError, match=r"song\.mp4: has no video stream"):
        Video(path)


def test_nothing_is_printed(clip: Callable[[str], Path], tmp_path: Path):
    path = tmp_path / "broken.mp4"
    data = bytearray(clip("h264.mp4").read_bytes())
    data[500:900] = bytes(400)
    path.write_bytes(data)
    code = (
        "import sys, tubelet.video.decode as d\n"
        "try: v = d.Video(sys.argv[1], damaged='keep'); v.frames(range(len(v)))\n"
        "except d.DecodeError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


# ---------------------------------------------------------------- life of an object


def test_a_file_that_changes_is_read_anew(clip: Callable[[str], Path], tmp_path: Path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip("h264.mp4").read_bytes())
    assert len(Video(path)) == 40
    path.write_bytes(clip("edit_list.mp4").read_bytes())
    assert len(Video(path)) == 25


def test_closing_and_pickling(clip: Callable[[str], Path]):
    expected = plain_decode(clip("h264.mp4"))
    with Video(clip("h264.mp4"), start_seconds=0.4) as video:
        assert_frames(video, [3], expected[10:])
        copy = pickle.loads(pickle.dumps(video))
    video.close()
    for again in (video, copy):
        assert_frames(again, [20, 1], expected[10:])
        assert len(again) == 30
    assert "h264.mp4" in repr(video)


def test_going_forward_does_not_seek_again(clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    from tubelet.video.session import Session

    video = Video(clip("h264_short_groups.mp4"))
    video.frames([0])
    sought: list[int] = []
    plain_seek = Session.seek

    def seek(self: Session, ordinal: int) -> bool:
        sought.append(ordinal)
        return plain_seek(self, ordinal)

    monkeypatch.setattr(Session, "seek", seek)
    for index in range(1, LENGTH, 2):
        video.frames([index])
    assert sought == []
    video.frames([0])
    video.frames([30])
    assert len(sought) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_that_nobody_needs_are_not_decoded(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, threads: int
):
    from tubelet.video.session import Session

    expected = plain_decode(clip("h264.mp4"))
    decoded: list[int] = []
    plain_next = Session.next_frame

    def next_frame(self: Session) -> av.VideoFrame | None:
        frame = plain_next(self)
        decoded.extend([] if frame is None else [frame.pts])
        return frame

    monkeypatch.setattr(Session, "next_frame", next_frame)
    with Video(clip("h264.mp4"), threads=threads) as video:
        assert_frames(video, [0, 9, 16], expected)
        assert len(decoded) < 15  # of 17
        # What comes after the last wanted frame was never left out: going on needs no other decoder.
        assert_frames(video, [17, 18, 30], expected)
        assert len(set(decoded)) == len(decoded)
        # What was left out between is there when a frame before it could not be given.
        pictures = video._reader.pictures([31, 39])
        next(pictures)
        pictures.close()
        assert_frames(video, [32, 33], expected)


def test_a_decoder_that_leaves_out_too_much_is_not_told_again(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    from tubelet.video.session import Session

    expected = plain_decode(clip("h264.mp4"))
    monkeypatch.setattr(
        Session, "_pass_over", lambda self, pts: setattr(
            self.stream.codec_context, "skip_frame", "DEFAULT" if self.wanted is None else "NONKEY"
        )
    )  # fmt: skip
    with Video(clip("h264.mp4")) as video:
        assert_frames(video, [0, 9, 16], expected)
        assert_frames(video, [3, 25], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_worker_opens_its_own_decoder(clip: Callable[[str], Path], threads: int):
    video = Video(clip("h264.mp4"), threads=threads)
    expected = video.frames([5, 6, 20])
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        try:
            sender.send(video.frames([7, 20]).numpy())
        finally:
            os._exit(0)
    assert receiver.poll(30)
    found = receiver.recv()
    os.waitpid(child, 0)
    np.testing.assert_array_equal(found[1], expected[2].numpy())
    torch.testing.assert_close(video.frames([5, 6, 20]), expected, rtol=0, atol=0)


def test_a_folder_is_listed_again_when_it_changes(tmp_path: Path):
    folder = write_images(tmp_path / "images", [f"frame_{index:04}.png" for index in range(8, 12)])
    assert len(Video(folder)) == 4
    Image.fromarray(picture(0)).save(folder / "frame_99.png")  # before 10 as text, after it as a number
    os.utime(folder, ns=(0, 12345))
    assert list_images(str(folder), 12345)[-2:] == ("frame_0011.png", "frame_99.png")
    assert len(Video(folder)) == 5
