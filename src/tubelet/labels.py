"""`Labels`: what a model's outputs mean. Heads, their classes, probabilities, best answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from tubelet.errors import ConfigError


@dataclass(frozen=True)
class Head:
    """One question that a model answers: its name, its classes in the order of the logits.

    With `multi_label` any number of the classes may hold, and each has a probability of its own (sigmoid);
    otherwise exactly one holds (softmax).
    """

    name: str
    classes: tuple[str, ...]
    multi_label: bool = False

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(..., classes)` to the same."""
        return logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)


@dataclass(frozen=True)
class Labels:
    """The heads of a model, in the order in which their logits are concatenated.

    Raises:
        ConfigError: without heads or classes, or where names are not unique.
    """

    heads: tuple[Head, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be told apart."""
        names = [head.name for head in self.heads]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"Labels need heads of different names, not {names}.")
        for head in self.heads:
            twice = sorted({c for c in head.classes if head.classes.count(c) > 1})
            if not head.classes or twice:
                what = f"has classes of the same name: {', '.join(twice)}" if twice else "has no classes"
                raise ConfigError(f"The head {head.name!r} {what}.")

    @classmethod
    def single(cls, classes: Sequence[str], multi_label: bool = False) -> Self:
        """Labels of one head, named `label`."""
        return cls((Head("label", tuple(classes), multi_label),))

    @classmethod
    def numbered(cls, classes: Sequence[int]) -> Self:
        """Labels whose names nobody said: `class 0`, `class 1` ... for each head."""
        names = ["label"] if len(classes) == 1 else [f"head {i}" for i in range(len(classes))]
        return cls(
            tuple(
                Head(name, tuple(f"class {i}" for i in range(count)))
                for name, count in zip(names, classes, strict=True)
            )
        )

    @property
    def classes(self) -> tuple[int, ...]:
        """Number of classes of each head, as in `ViViTConfig.classes`."""
        return tuple(len(head.classes) for head in self.heads)

    def head(self, head: int | str) -> Head:
        """A head by its place or its name.

        Raises:
            KeyError: if there is none.
        """
        if isinstance(head, int):
            return self.heads[head]
        for candidate in self.heads:
            if candidate.name == head:
                return candidate
        raise KeyError(f"There is no head {head!r}. There are: {', '.join(h.name for h in self.heads)}.")

    def split(self, logits: Tensor) -> dict[str, Tensor]:
        """Concatenated logits `(..., sum(classes))` by head."""
        parts = logits.split(list(self.classes), dim=-1)
        return {head.name: part for head, part in zip(self.heads, parts, strict=True)}

    def probabilities(self, logits: Tensor) -> dict[str, Tensor]:
        """Probabilities by head, from concatenated logits `(..., sum(classes))`."""
        return {name: self.head(name).probabilities(part) for name, part in self.split(logits).items()}

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON."""
        return [
            {"name": h.name, "classes": list(h.classes), "multi_label": h.multi_label} for h in self.heads
        ]

    @classmethod
    def from_dict(cls, values: Sequence[dict[str, Any]]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            tuple(Head(h["name"], tuple(h["classes"]), bool(h.get("multi_label", False))) for h in values)
        )
