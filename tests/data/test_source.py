from pathlib import Path

import pytest

from tubelet.data.source import Fractions, Sample, divide
from tubelet.errors import ConfigError, DataError


def test_every_class_is_divided_by_itself_and_always_alike():
    items = [(label, number) for label in "ab" for number in range(20)]
    splits = divide(items, Fractions(val=0.2, test=0.1), lambda i: i[0], lambda _: None)
    assert splits == divide(items, Fractions(val=0.2, test=0.1), lambda i: i[0], lambda _: None)
    for label in "ab":
        mine = [split for (name, _), split in zip(items, splits, strict=True) if name == label]
        assert (mine.count("train"), mine.count("val"), mine.count("test")) == (14, 4, 2)
    assert splits != divide(items, Fractions(val=0.2, test=0.1, seed=1), lambda i: i[0], lambda _: None)


def test_groups_stay_together():
    items = list(range(60))
    splits = divide(items, Fractions(val=0.3, test=0.3), lambda i: i % 2, lambda i: f"g{i // 6}")
    for first in range(0, 60, 6):
        assert len(set(splits[first : first + 6])) == 1
    assert {splits.count(name) for name in ("val", "test")} == {18}


def test_some_groups_are_refused():
    with pytest.raises(DataError, match="none of them"):
        divide([1, 2], Fractions(), lambda i: i, lambda i: "g" if i == 1 else None)


@pytest.mark.parametrize("shares", [{"val": 1.0}, {"val": 0.5, "test": 0.5}, {"test": -0.1}])
def test_shares_that_leave_nothing(shares: dict[str, float]):
    with pytest.raises(ConfigError, match="below 1"):
        Fractions(**shares)


def test_names_say_the_part():
    assert Sample(path=Path("a.mp4"), labels=(0,)).name == "a.mp4"
    assert Sample(path=Path("a.mp4"), labels=(0,), start_seconds=0.5).name == "a.mp4 [0.5 s to end]"
    assert Sample(path=Path("a.mp4"), labels=(0,), end_seconds=2).name == "a.mp4 [0 s to 2 s]"
