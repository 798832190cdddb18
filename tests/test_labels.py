import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tubelet.errors import ConfigError
from tubelet.labels import UNKNOWN, Head, Kind, Labels

KINDS: tuple[Kind, ...] = ("single", "multi", "number")
BOTH = Labels((Head("verb", ("cut", "wash")), Head("things", ("pan", "cup", "lid"), "multi")))


def test_split_in_the_order_of_the_heads() -> None:
    parts = BOTH.split(torch.arange(10.0).reshape(2, 5))
    assert parts["verb"].tolist() == [[0, 1], [5, 6]]
    assert parts["things"].tolist() == [[2, 3, 4], [7, 8, 9]]
    assert BOTH.classes == (2, 3)


def test_probabilities_by_the_kind_of_head() -> None:
    found = BOTH.probabilities(torch.tensor([0.0, 0.0, 0.0, 100.0, -100.0]))
    assert found["verb"].tolist() == [0.5, 0.5]
    assert found["things"].tolist() == [0.5, 1.0, 0.0]


def test_numbers_are_no_probabilities() -> None:
    found = Labels((Head("speed", ("m/s",), "number"),)).probabilities(torch.tensor([[-3.5]]))
    assert found["speed"].tolist() == [[-3.5]]


def test_targets_by_the_kind_of_head() -> None:
    labels = Labels((*BOTH.heads, Head("place", ("x", "y"), "number")))
    found = labels.targets([(1, (0, 2), (0.5, -1.0)), (0, (), UNKNOWN), (UNKNOWN, UNKNOWN, (2.0, 3.0))])
    expected = [[0, 1, 1, 0, 1, 0.5, -1], [1, 0, 0, 0, 0, None, None], [None] * 5 + [2, 3]]
    assert [[None if x != x else x for x in row] for row in found.tolist()] == expected
    assert labels.targets([]).shape == (0, 7)


def test_older_files_say_multi_label() -> None:
    heads = [{"name": "a", "classes": ["x"], "multi_label": True}, {"name": "b", "classes": ["y"]}]
    assert [head.kind for head in Labels.from_dict(heads).heads] == ["multi", "single"]
    with pytest.raises(ConfigError, match="single, multi or number"):
        Labels.from_dict([{"name": "a", "classes": ["x"], "kind": "rank"}])


def test_numbered() -> None:
    assert Labels.numbered((2,)).heads == (Head("label", ("class 0", "class 1")),)
    assert [h.name for h in Labels.numbered((2, 1)).heads] == ["head 0", "head 1"]


@pytest.mark.parametrize(
    ("heads", "sentence"),
    [
        ((), "different names"),
        ((Head("a", ("x",)), Head("a", ("y",))), "different names"),
        ((Head("a", ()),), "no classes"),
        ((Head("a", ("x", "y", "x")),), "same name: x"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(heads: tuple[Head, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Labels(heads)


def test_unknown_head() -> None:
    with pytest.raises(KeyError, match="There are: verb, things"):
        BOTH.head("noun")


@given(st.lists(st.lists(st.text(), min_size=1, max_size=4, unique=True), min_size=1, max_size=3))
def test_dict_round_trip(classes: list[list[str]]) -> None:
    labels = Labels(tuple(Head(f"head {i}", tuple(names), KINDS[i]) for i, names in enumerate(classes)))
    assert Labels.from_dict(labels.to_dict()) == labels
