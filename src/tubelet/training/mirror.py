"""What a mirror image does to labels: some classes are exchanged, such as pushing left and pushing right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tubelet.errors import ConfigError
from tubelet.labels import UNKNOWN, Kind, Label, Labels


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
