import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tubelet.errors import ConfigError
from tubelet.video.clips import (
    Clock,
    clip,
    draw_start,
    even_starts,
    frame_edges,
    middle_start,
    uniform_clip,
    window_starts,
)

lengths = st.integers(1, 400)
frame_counts = st.integers(1, 40)
strides = st.integers(1, 8)


def test_official_indices(golden: Path) -> None:
    cases = json.loads((golden / "preprocessing" / "temporal_sampling.json").read_text())["cases"]
    assert len(cases) == 10
    for name, expected in cases.items():
        length, clips, frames, stride = map(int, name.split("/"))
        clock = Clock.stride(length, stride)
        found = [clip(clock, s, frames).tolist() for s in even_starts(clock, frames, clips).tolist()]
        assert found == expected["test_clips"], name
        assert clip(clock, middle_start(clock, frames), frames).tolist() == expected["middle_clip"], name
        start = round(0.37 * length)
        given = expected["train_clip_with_offset_round_0.37_L"]
        assert clip(clock, start, frames).tolist() == given, name


def test_training_offsets_are_all_those_of_the_official_range() -> None:
    generator = torch.Generator().manual_seed(0)
    for length, frames, stride in [(20, 8, 2), (15, 8, 2), (14, 8, 2), (3, 8, 2), (9, 3, 1)]:
        clock = Clock.stride(length, stride)
        drawn = {draw_start(clock, frames, generator) for _ in range(300)}
        assert drawn == set(range(max(length - (frames - 1) * stride, 1)))


@given(length=lengths, frames=frame_counts, stride=strides, clips=st.integers(1, 10))
def test_test_clips_are_in_range_ordered_and_symmetrical(
    length: int, frames: int, stride: int, clips: int
) -> None:
    clock = Clock.stride(length, stride)
    starts = even_starts(clock, frames, clips)
    room = max(length - frames * stride, 0)
    assert starts[0] == 0
    assert starts[-1] == (room if clips > 1 else 0)
    assert np.all(np.diff(starts) >= 0)
    if clips > 1:  # offsets are cut to whole frames, which costs symmetry less than one frame
        assert np.all(np.abs(starts + starts[::-1] - room) <= 1)
    for start in starts.tolist():
        found = clip(clock, start, frames)
        assert found.min() >= 0
        assert found.max() < length
        if start + (frames - 1) * stride < length:
            assert np.all(np.diff(found) == stride)


@given(length=lengths, frames=frame_counts, stride=strides, data=st.data())
def test_short_policies(length: int, frames: int, stride: int, data: st.DataObject) -> None:
    clock = Clock.stride(length, stride)
    start = data.draw(st.integers(0, length - 1))
    wanted = start + stride * np.arange(frames)
    assert clip(clock, start, frames, "loop").tolist() == (wanted % length).tolist()
    assert clip(clock, start, frames, "hold").tolist() == np.minimum(wanted, length - 1).tolist()
    if wanted[-1] < length:
        assert clip(clock, start, frames, "refuse").tolist() == wanted.tolist()
    else:
        with pytest.raises(ConfigError, match=f"ends after a video of {length} frames"):
            clip(clock, start, frames, "refuse")


@given(
    length=lengths,
    frames=frame_counts,
    stride=strides,
    rate=st.sampled_from([10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 59.94]),
    milliseconds=st.booleans(),
)
def test_a_rate_that_is_a_stride_gives_the_stride(
    length: int, frames: int, stride: int, rate: float, milliseconds: bool
) -> None:
    times = np.arange(length) / rate
    edges = frame_edges(length, np.round(times, 3) if milliseconds else times, end_seconds=length / rate)
    by_rate, by_stride = Clock.rate(edges, rate / stride), Clock.stride(length, stride)
    fits = (frames - 1) * stride < length
    assert by_rate.starts(frames) == by_stride.starts(frames)
    for start in (0, length // 3):
        if start + (frames - 1) * stride < length:
            assert clip(by_rate, start, frames).tolist() == clip(by_stride, start, frames).tolist()
    if not milliseconds:
        for start in (0, length - 1):
            assert clip(by_rate, start, frames).tolist() == clip(by_stride, start, frames).tolist()
    assert clip(by_rate, 0, frames, "hold").tolist() == clip(by_stride, 0, frames, "hold").tolist()
    if not fits:
        with pytest.raises(ConfigError, match="hold"):
            clip(by_rate, 0, frames, "refuse")


def test_variable_frame_rate_gives_the_frame_shown_at_each_time() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.0, 1.05, 1.1])
    clock = Clock.rate(frame_edges(6, times, end_seconds=1.5), 4.0)
    assert clip(clock, 0, 6).tolist() == [0, 2, 2, 2, 3, 5]  # at 0, .25, .5, .75, 1 and 1.25 s
    assert clip(clock, 3, 5, "loop").tolist() == [3, 5, 0, 2, 2]  # 1.5 s is the beginning again
    assert clip(clock, 3, 5, "hold").tolist() == [3, 5, 5, 5, 5]


@given(
    gaps=st.lists(st.floats(0.005, 0.5), min_size=1, max_size=60),
    rate=st.floats(0.5, 60),
    frames=frame_counts,
    clips=st.integers(1, 6),
)
def test_clips_of_variable_rate_are_in_range_and_ordered(
    gaps: list[float], rate: float, frames: int, clips: int
) -> None:
    edges = np.concatenate([[0.0], np.cumsum(gaps)])
    clock = Clock.rate(edges, rate)
    for start in [*even_starts(clock, frames, clips).tolist(), middle_start(clock, frames)]:
        for short in ("loop", "hold"):
            found = clip(clock, start, frames, short)
            assert found[0] == start
            assert found.min() >= 0
            assert found.max() < len(gaps)
            if short == "hold" or edges[start] + (frames - 1) / rate < edges[-1] - 2e-3:
                assert np.all(np.diff(found) >= 0)


@given(length=lengths, frames=frame_counts, stride=strides, hop=st.integers(1, 50))
def test_windows_cover_the_video_with_real_frames(length: int, frames: int, stride: int, hop: int) -> None:
    starts = window_starts(Clock.stride(length, stride), frames, hop)
    span = (frames - 1) * stride + 1
    assert starts[0] == 0
    assert np.all(np.diff(starts) > 0)
    assert np.all(np.diff(starts)[:-1] == hop * stride)
    if length >= span:
        assert starts[-1] + span <= length
        if hop <= frames:
            assert starts[-1] + frames * stride >= length  # nothing after the last window
    else:
        assert len(starts) == 1


def test_windows_by_example() -> None:
    def starts(length: int, frames: int, stride: int, hop: int) -> list[int]:
        return window_starts(Clock.stride(length, stride), frames, hop).tolist()

    assert starts(64, 16, 2, 16) == [0, 32]
    assert starts(65, 16, 2, 16) == [0, 32, 34]
    assert starts(10, 4, 1, 2) == [0, 2, 4, 6]
    assert starts(11, 4, 1, 2) == [0, 2, 4, 6, 7]
    assert starts(20, 4, 1, 10) == [0, 10]
    assert starts(3, 4, 1, 4) == [0]


@given(length=st.integers(1, 100), frames=frame_counts, phase=st.floats(0, 1, exclude_max=True))
@example(length=2, frames=2, phase=1 - 2**-53)
def test_uniform_clips(length: int, frames: int, phase: float) -> None:
    found = uniform_clip(length, frames, phase)
    assert found.shape == (frames,)
    assert found.min() >= 0
    assert found.max() < length
    assert np.all(np.diff(found) >= 0)
    if frames >= length:
        assert set(found.tolist()) == set(range(length))
    centred = uniform_clip(length, frames)
    assert np.all(np.abs(centred + centred[::-1] - (length - 1)) <= 1)
    assert uniform_clip(length, length).tolist() == list(range(length))


def test_refusals_are_sentences() -> None:
    with pytest.raises(ConfigError, match="without frames"):
        Clock.stride(0, 1)
    with pytest.raises(ConfigError, match="without frames"):
        Clock.rate(frame_edges(0, 25.0), 5.0)
    with pytest.raises(ConfigError, match="without frames"):
        uniform_clip(0, 4)
    with pytest.raises(ConfigError, match="4 different frames"):
        uniform_clip(3, 4, short="refuse")
    with pytest.raises(ConfigError, match="frame rate 0 of a video"):
        frame_edges(3, 0)
    with pytest.raises(ConfigError, match="timestamps for a video of 3 frames"):
        frame_edges(3, np.zeros(2))
    with pytest.raises(ConfigError, match="run backwards"):
        Clock.rate(frame_edges(3, np.array([0.0, 0.2, 0.1])), 5.0)


def test_the_last_frame_is_shown_for_the_usual_time_unless_the_end_is_known() -> None:
    assert frame_edges(3, np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert frame_edges(3, np.array([0.0, 0.5, 1.0]), end_seconds=1.2).tolist() == [0.0, 0.5, 1.0, 1.2]
    assert frame_edges(3, np.array([0.0, 0.5, 1.0]), end_seconds=1.0)[-1] == 1.5
    assert frame_edges(1, np.array([0.0])).tolist() == [0.0, 1.0]
    assert frame_edges(2, 4.0).tolist() == [0.0, 0.25, 0.5]
