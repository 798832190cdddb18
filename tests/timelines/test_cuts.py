"""Hard cuts are found; movement, a flash and a jolt are none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.streaming.test_engine import ENCODER, VIEW, make
from tubelet import timeline
from tubelet.streaming.sources import Frame, Pace, TensorFrame, origin_of
from tubelet.timelines.cuts import marked, with_cuts

CLIPS = Path(__file__).parents[2] / "examples" / "clips"


def scene(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 255, 2).tolist())
    return rng.integers(low, high + 1, (9, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def cuts_in(pictures: list[NDArray[np.uint8]]) -> list[int]:
    frames: list[Frame] = [
        TensorFrame(torch.from_numpy(p.copy()).permute(2, 0, 1), float(n)) for n, p in enumerate(pictures)
    ]
    found: list[float] = []
    out = list(marked(iter(frames), found.append))
    assert [f.seconds for f in out] == [f.seconds for f in frames]
    assert [f.seconds for f in out if f.cut] == found
    return [int(seconds) for seconds in found]


def test_cuts_between_moving_shots() -> None:
    shots = [
        [np.roll(scene(seed), 3 * n, axis=1) for n in range(length)]
        for seed, length in ((1, 9), (4, 3), (2, 8))
    ]
    assert cuts_in([p for shot in shots for p in shot]) == [9, 12]


def test_what_is_no_cut() -> None:
    still = [scene(1)] * 5
    assert cuts_in(still) == []
    assert cuts_in([*still, np.full_like(scene(1), 255), *still]) == []  # a flash
    assert (
        cuts_in([*still, *[np.roll(scene(1), 60, axis=1)] * 5]) == []
    )  # a jolt: other places, the same colours
    rising = [np.full((72, 128, 3), 8 * n, np.uint8) for n in range(30)]
    assert cuts_in(rising) == []  # a fade
    assert cuts_in([scene(1)]) == []
    assert cuts_in([]) == []


@pytest.mark.parametrize(
    ("name", "count"),
    [("still_then_cut", 1), ("handheld", 0), ("pan_left", 0), ("zoom_in", 0), ("roll_right", 0)],
)
def test_on_the_example_clips(name: str, count: int) -> None:
    found: list[float] = []
    for _ in with_cuts(origin_of(CLIPS / f"{name}.mp4"), found.append).open(Pace(keep_up=False)):
        pass
    assert len(found) == count


def test_no_window_reaches_over_a_cut() -> None:
    """The second shot is shorter than a window, and filled up by its own frames."""
    pictures = [scene(1)] * 20 + [scene(4)] * 5 + [scene(2)] * 17
    frames = [(torch.from_numpy(p).permute(2, 0, 1), n / 10) for n, p in enumerate(pictures)]
    found = timeline(make(ENCODER, VIEW), frames, respect_cuts=True)
    assert found.cuts == pytest.approx((2.0, 2.5))
    assert sorted(set(found.stretches.tolist())) == [0, 1, 2]
    for shot, (start, end) in enumerate(((0.0, 2.0), (2.0, 2.5), (2.5, 4.2))):
        own = found.stretches == shot
        assert found.windows[own].min() == pytest.approx(start)
        assert found.windows[own].max() == pytest.approx(end)
        assert np.ptp(found.logits[own], axis=0).max() < 1e-5  # still pictures: one answer for each shot
    assert found.edges[:, 0].tolist() == pytest.approx([0.0, *found.edges[:-1, 1].tolist()])
