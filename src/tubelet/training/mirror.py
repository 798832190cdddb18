"""What a mirror image does to labels: some classes are exchanged, such as pushing left and pushing right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tubelet.errors import ConfigError
from tubelet.labels import UNKNOWN, Kind, Label, Labels

SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Mirror:
    """The labels of a clip's mirror image, from those of the clip. A value, so that it travels to workers."""

    kinds: tuple[Kind, ...]
    """Of each head."""
    places: tuple[tuple[int, ...], ...]
    """For each head, the class that each class becomes."""

    @classmethod
    def of(cls, labels: Labels, swaps: Sequence[tuple[str, str]]) -> Self:
        """Exchange the classes of each pair, in every head that has both of them.

        Raises:
            ConfigError: for pairs that no head has; lists them all.
        """
        places = tuple(list(range(len(head.classes))) for head in labels.heads)
        unknown = list(swaps)
        for head, order in zip(labels.heads, places, strict=True):
            for pair in swaps:
                if all(name in head.classes for name in pair):
                    one, other = (head.classes.index(name) for name in pair)
                    order[one], order[other] = other, one
                    unknown = [left for left in unknown if left != pair]
        if unknown:
            pairs = ", ".join(f"{one!r} and {other!r}" for one, other in unknown)
            raise ConfigError(
                f"flip_swaps: no head of the data has both {pairs}; give the names of its classes."
            )
        return cls(tuple(head.kind for head in labels.heads), tuple(tuple(order) for order in places))

    def __call__(self, row: Sequence[Label]) -> tuple[Label, ...]:
        """A label for each head to the mirror image's."""
        return tuple(
            mirrored(label, kind, places)
            for label, kind, places in zip(row, self.kinds, self.places, strict=True)
        )


def mirrored(label: Label, kind: Kind, places: Sequence[int]) -> Label:
    """One head's label of the mirror image."""
    if isinstance(label, int):
        return label if label == UNKNOWN else places[label]
    if kind == "number":
        return tuple(label[place] for place in places)
    return tuple(places[int(number)] for number in label)


def handed(labels: Labels, swaps: Sequence[tuple[str, str]]) -> str | None:
    """What is wrong with mirroring clips of these classes: their names say left or right. None: nothing.

    Args:
        labels: of the data.
        swaps: pairs of classes that a mirror image exchanges.
    """
    known = {name for pair in swaps for name in pair}
    names = [name for head in labels.heads for name in head.classes]
    sided = [name for name in names if SIDE.search(name) and name not in known]
    if not sided:
        return None
    others = {name: SIDE.sub(lambda found: OTHER[found[0].lower()], name) for name in sided}
    pairs = [(one, other) for one, other in others.items() if one < other and other in names]
    found = f"Clips are mirrored, and {len(sided)} classes say left or right, such as {sided[0]!r}: "
    if not pairs:
        return f"{found}their mirror images have the wrong label, so say --view.no-flip."
    words = " ".join(f'"{name}"' for pair in pairs for name in pair)
    return f"{found}say --view.no-flip, or exchange the labels: --flip-swaps {words}"
