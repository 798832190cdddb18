"""Smoothing, two thresholds, durations, merging: on probabilities made up here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tubelet import ConfigError, Head
from tubelet.timelines.rules import Rules, hysteresis, segments_of, smoothed

ONE = Head("act", ("rest", "run", "jump"))
MANY = Head("seen", ("dog", "cat"), "multi")


def edges(count: int) -> NDArray[np.float64]:
    return np.stack([np.arange(count), np.arange(count) + 1], axis=1).astype(np.float64)


def spoken(head: Head, rows: list[list[float]], rules: Rules) -> list[tuple[str, float, float]]:
    values = np.array(rows, np.float32)
    found = segments_of(head, values, edges(len(rows)), rules)
    return [(s.label, s.start_seconds, s.end_seconds) for s in found]


REST, RUN, JUMP, TORN = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.3, 0.4, 0.3]


def test_the_best_class_holds() -> None:
    rows = [REST, REST, RUN, TORN, JUMP]
    expected = [("rest", 0.0, 2.0), ("run", 2.0, 4.0), ("jump", 4.0, 5.0)]
    assert spoken(ONE, rows, Rules()) == expected
    assert spoken(ONE, rows, Rules(background=("rest", "nothing of this head"))) == expected[1:]
    (first, *_) = segments_of(ONE, np.array(rows, np.float32), edges(5), Rules(background=("rest", "jump")))
    assert (first.probability, first.peak) == (pytest.approx(0.6), pytest.approx(0.8))


def test_below_the_threshold_of_a_head_nothing_holds() -> None:
    """Where the model answers unknown there is a hole, whatever lower threshold the rules have."""
    careful = Head("act", ONE.classes, threshold=0.5)
    assert spoken(careful, [RUN, TORN, RUN], Rules()) == [("run", 0.0, 1.0), ("run", 2.0, 3.0)]
    assert spoken(careful, [RUN, TORN, RUN], Rules(enter=0.2)) == [("run", 0.0, 1.0), ("run", 2.0, 3.0)]
    assert spoken(careful, [RUN, TORN, RUN], Rules(merge_seconds=1.0)) == [("run", 0.0, 3.0)]


def test_two_thresholds() -> None:
    """What has begun at 0.7 goes on at 0.35, though another class is better, until one begins or it falls below."""
    weak = [0.5, 0.4, 0.1]
    rows = [weak, RUN, weak, weak, REST, weak, TORN, [0.3, 0.3, 0.4]]
    rules = Rules(enter=0.7, leave=0.35)
    assert spoken(ONE, rows, rules) == [("run", 1.0, 4.0), ("rest", 4.0, 6.0)]
    column = np.array([0.1, 0.8, 0.5, 0.3, 0.5, 0.8, 0.2], np.float32)
    assert hysteresis(column, 0.7, 0.4).tolist() == [False, True, True, False, False, True, False]


@given(st.lists(st.floats(0, 1, width=32), max_size=30), st.floats(0.1, 0.9), st.floats(0, 1))
def test_hysteresis_is_that_of_a_loop(values: list[float], enter: float, share: float) -> None:
    leave, state, expected = enter * share, False, []
    for value in np.array(values, np.float32):
        state = value >= enter or (state and not value < leave)
        expected.append(bool(state))
    assert hysteresis(np.array(values, np.float32), enter, leave).tolist() == expected


def test_several_classes_hold_at_once() -> None:
    rows = [[0.9, 0.1], [0.9, 0.6], [0.2, 0.7], [0.1, 0.2]]
    assert spoken(MANY, rows, Rules()) == [("dog", 0.0, 2.0), ("cat", 1.0, 3.0)]
    assert spoken(MANY, rows, Rules(enter=0.65, leave=0.15)) == [("dog", 0.0, 3.0), ("cat", 2.0, 4.0)]
    assert spoken(Head("speed", ("v",), "number"), [[3.0]], Rules()) == []


def test_least_durations_and_merging() -> None:
    rows = [RUN, RUN, JUMP, RUN, REST, REST, JUMP]
    assert spoken(ONE, rows, Rules(merge_seconds=1.0, least_seconds=2.0)) == [
        ("run", 0.0, 4.0),
        ("rest", 4.0, 6.0),
    ]
    assert spoken(ONE, rows, Rules(least_seconds=1.5)) == [("run", 0.0, 2.0), ("rest", 4.0, 6.0)]


def test_a_hole_in_time_ends_a_segment() -> None:
    """Such as a shot too short for a view that refuses it."""
    times = edges(3)
    times[2] += 5
    found = segments_of(ONE, np.array([RUN, RUN, RUN], np.float32), times, Rules())
    assert [(s.start_seconds, s.end_seconds) for s in found] == [(0.0, 2.0), (7.0, 8.0)]


def test_smoothing_stays_within_a_shot() -> None:
    values = np.array([[0], [1], [0], [1], [1], [0]], np.float32)
    middles = np.arange(6) + 0.5
    shots = np.array([0, 0, 0, 1, 1, 1])
    mean = smoothed(values, middles, shots, Rules(smooth="mean", smooth_seconds=2.0))[:, 0]
    assert mean.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2, 1, 2 / 3, 1 / 2])
    rules = Rules(smooth="exponential", smooth_seconds=1 / np.log(2))
    assert smoothed(values, middles, shots, rules)[:, 0].tolist() == pytest.approx([0, 0.5, 0.25, 1, 1, 0.5])
    assert smoothed(values, middles, shots, Rules()) is values


def test_what_cannot_be_is_refused() -> None:
    for fields, sentence in (
        ({"smooth": "gauss"}, "none, mean, exponential"),
        ({"smooth_seconds": 0}, "above 0"),
        ({"least_seconds": -1}, "least_seconds=-1"),
        ({"enter": 2}, "enter=2"),
        ({"leave": 0.3}, "give both"),
        ({"enter": 0.3, "leave": 0.5}, "leave at most enter"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Rules(**fields)  # pyright: ignore[reportArgumentType]
