import pytest

from tubelet.errors import ConfigError
from tubelet.labels import UNKNOWN, Head, Labels
from tubelet.training.mirror import Mirror, handed

LABELS = Labels(
    (
        Head("what", ("pushing left", "lifting", "pushing right")),
        Head("which", ("left hand", "right hand", "pushing left"), "multi"),
        Head("how much", ("left", "right"), "number"),
    )
)
SWAPS = [("pushing left", "pushing right"), ("right hand", "left hand"), ("left", "right")]


def test_classes_are_exchanged_in_every_head_that_has_both() -> None:
    mirror = Mirror.of(LABELS, SWAPS)
    assert mirror((0, (0.0, 2.0), (0.1, 0.9))) == (2, (1, 2), (0.9, 0.1))
    assert mirror((1, (), (0.5, 0.5))) == (1, (), (0.5, 0.5))
    assert mirror((UNKNOWN, UNKNOWN, UNKNOWN)) == (UNKNOWN, UNKNOWN, UNKNOWN)


def test_the_mirror_image_of_a_mirror_image_is_the_clip() -> None:
    mirror = Mirror.of(LABELS, SWAPS)
    for row in ((0, (1.0,), (3.0, 4.0)), (2, (0.0, 1.0, 2.0), (1.0, 2.0))):
        assert mirror(mirror(row)) == row


def test_all_pairs_that_no_head_has_are_named() -> None:
    with pytest.raises(ConfigError, match="'up' and 'down', 'lifting' and 'left hand'"):
        Mirror.of(LABELS, [*SWAPS, ("up", "down"), ("lifting", "left hand")])


def test_classes_that_say_a_side_are_named() -> None:
    names = (
        "Pulling something from left to right",
        "Pulling something from right to left",
        "Leftovers",
        "Bright",
    )
    wrong = handed(Labels.single(names), [])
    assert wrong is not None
    assert "2 classes say left or right" in wrong
    assert f'--flip-swaps "{names[0]}" "{names[1]}"' in wrong
    assert handed(Labels.single(names), [(names[0], names[1])]) is None
    assert handed(Labels.single(("Leftovers", "Bright")), []) is None
    assert str(handed(Labels.single(("right hand", "foot")), [])).endswith("so say --view.no-flip.")
