"""Windows of what arrives frame by frame are those of the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.test_classifier import film
from tubelet import ConfigError, Video, View
from tubelet.streaming.windows import ArrivedWindow, Windows

STRIDE = View(frames=4, stride=2, size=16, resize=20, value_range=(-1.0, 1.0), short="hold")
RATE = View(frames=4, frames_per_second=5, size=16, resize=20, value_range=(-1.0, 1.0), short="hold")


def arrive(windows: Windows, video: Video) -> list[ArrivedWindow]:
    found: list[ArrivedWindow] = []
    for number, seconds in enumerate(video.timestamps):
        found += windows.see(video.frames([number])[0], float(seconds))
    return found + windows.end()


@pytest.mark.parametrize("view", [STRIDE, RATE], ids=["stride", "rate"])
@pytest.mark.parametrize("hop", [1, 2, 4, 5])
def test_they_are_those_of_the_file(view: View, hop: int, tmp_path: Path) -> None:
    """At 10 frames per second both views look at every second frame: same frames, times and pixels."""
    with Video(film(tmp_path / "clip.mp4", 22)) as video:
        found = arrive(Windows(view, hop), video)
        expected = list(replace(view, hop=hop).windows(video))
    regular = [w for w in expected if w.indices[0] % (2 * hop) == 0]
    assert len(found) >= len(regular) > 1
    for ours, theirs in zip(found, regular, strict=False):
        assert list(ours.numbers) == theirs.indices.tolist()
        assert torch.equal(view.normalise(torch.stack(ours.pixels)), theirs.pixels)
        assert ours.start_seconds == pytest.approx(theirs.start_seconds, abs=1e-6)
        assert ours.end_seconds == pytest.approx(theirs.end_seconds, abs=1e-6)


def frame(number: int) -> Tensor:
    return torch.full((3, 24, 32), number % 256, dtype=torch.uint8)


def numbers(windows: list[ArrivedWindow]) -> list[list[int]]:
    """The frames of each window; that the pixels are of these frames is checked on the way."""
    for window in windows:
        assert [int(p[0, 0, 0]) for p in window.pixels] == [n % 256 for n in window.numbers]
    return [list(w.numbers) for w in windows]


def test_variable_frame_rates_are_looked_at_by_their_times() -> None:
    """What is shown at a time is the last frame that appeared; a slow source repeats, and is prepared once."""
    seconds = [0.0, 0.1, 0.2, 0.9, 0.95, 1.0, 1.6]
    made: list[int] = []

    def picture(number: int) -> Tensor:
        made.append(number)
        return frame(number)

    windows = Windows(RATE, hop=4)
    found = [w for n, s in enumerate(seconds) for w in windows.see(lambda n=n: picture(n), s)]
    found += windows.end()
    # Due at 0, 0.2, 0.4 ... 1.6.
    shown = [int(np.searchsorted(seconds, due + 1e-3, side="right")) - 1 for due in np.arange(9) / 5]
    assert numbers(found) == [shown[:4], shown[4:8], shown[5:9]]
    assert sorted(made) == sorted(set(shown))


def test_the_grid_does_not_drift() -> None:
    """Sampling 29.97 frames per second at 16 for two minutes: always the frame that is shown."""
    view = View(frames=4, frames_per_second=16, size=8, fit="none", value_range=(-1.0, 1.0))
    times = np.round(np.arange(120 * 30) * 1001 / 30000, 3)  # as Matroska writes them
    windows = Windows(view, hop=4)
    found = [w for n, s in enumerate(times) for w in windows.see(frame(n)[:, :8, :8], float(s))]
    taken = np.array([n for w in found for n in w.numbers])
    due = np.arange(len(taken)) / 16
    assert len(taken) == pytest.approx(120 * 16, abs=8)
    assert np.all(np.abs(times[taken] - due) < 1001 / 30000 + 2e-3)
    assert np.all(np.diff(taken) >= 1)


def test_windows_do_not_reach_over_what_was_lost() -> None:
    windows = Windows(STRIDE, hop=2)
    found = [w for n in range(11) for w in windows.see(frame(n), n / 10)]
    assert numbers(found) == [[0, 2, 4, 6], [4, 6, 8, 10]]
    found = windows.see(frame(21), 2.1, lost=10)
    assert found == []  # nothing of the first stretch was unseen
    found = [w for n in range(22, 30) for w in windows.see(frame(n), n / 10)]
    assert numbers(found) == [[21, 23, 25, 27]]
    assert numbers(windows.end()) == [[23, 25, 27, 29]]


def test_short_stretches_follow_the_view() -> None:
    for short, expected in (("hold", [[0, 2, 4, 4]]), ("loop", [[0, 2, 4, 0]]), ("refuse", [])):
        windows = Windows(replace(STRIDE, short=short), hop=1)  # pyright: ignore[reportArgumentType]
        for number in range(5):
            assert windows.see(frame(number), number / 10) == []
        assert numbers(windows.end()) == expected


def test_what_cannot_be_is_refused() -> None:
    uniform = View(frames=4, uniform=True, size=16, value_range=(-1.0, 1.0))
    with pytest.raises(ConfigError, match="window_seconds"):
        Windows(uniform, 1)
    with pytest.raises(ConfigError, match="hop=0"):
        Windows(STRIDE, 0)
    with pytest.raises(ConfigError, match="uint8"):
        Windows(STRIDE, 1).see(torch.rand(3, 24, 32), 0.0)
    kept = View(frames=2, stride=1, size=16, fit="none", crop=False, value_range=(-1.0, 1.0))
    windows = Windows(kept, 1)
    windows.see(frame(0), 0.0)
    with pytest.raises(ConfigError, match="several sizes"):
        windows.see(torch.zeros(3, 16, 16, dtype=torch.uint8), 0.1)
