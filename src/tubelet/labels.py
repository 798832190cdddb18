"""`Labels`: what a model's outputs mean. Heads, their classes, probabilities, best answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError

Kind = Literal["single", "multi", "number"]
"""What a head asks: which one of its classes, which ones of its classes, or how much."""

Label = int | tuple[float, ...]
"""What a head should say of a clip. `single`: the class. `multi`: the classes that hold, of which there may be
none. `number`: a number for each class. `UNKNOWN`, an int, for every kind where nobody said."""

UNKNOWN = -1
"""The label of a head that nobody gave for this sample: it counts neither in the loss nor in a metric."""

Average = Literal["logits", "probabilities"]
"""How the views of a video become one answer: by the mean of their logits (official), or of their probabilities."""

UNKNOWN_ANSWER = "unknown"
"""The answer where the best class is less probable than the head's threshold."""


@dataclass(frozen=True)
class Head:
    """One question that a model answers: its name, its classes in the order of the logits.

    Of a `single` head exactly one class holds (softmax). Of a `multi` head any number of the classes may hold, and
    each has a probability of its own (sigmoid). The outputs of a `number` head are numbers, and its classes their
    names.

    Below the `threshold` of a `single` head its answer is "unknown": a probability that the best class must reach,
    chosen on validation data (`tubelet threshold`). None: the best class is always the answer.

    Raises:
        ConfigError: for another kind, or a threshold that cannot be.
    """

    name: str
    classes: tuple[str, ...]
    kind: Kind = "single"
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse other kinds, which a file may name."""
        if self.kind not in get_args(Kind):
            raise ConfigError(f"The head {self.name!r} is {self.kind!r}: heads are single, multi or number.")
        if self.threshold is not None and (self.kind != "single" or not 0 <= self.threshold <= 1):
            raise ConfigError(
                f"The {self.kind} head {self.name!r} has the threshold {self.threshold}: single heads may have one, "
                "a probability from 0 to 1."
            )

    @property
    def multi_label(self) -> bool:
        """Whether several classes may hold at once."""
        return self.kind == "multi"

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(..., classes)` to the same; the outputs of a `number` head are left as they are."""
        if self.kind == "number":
            return logits
        return logits.sigmoid() if self.kind == "multi" else logits.softmax(dim=-1)

    def averaged(self, logits: Tensor, average: Average = "logits") -> Tensor:
        """One answer out of V views: `(..., V, classes)` to `(..., classes)`.

        With `average="probabilities"` what comes out are the logits of the mean probabilities.
        """
        if average == "logits" or self.kind == "number":
            return logits.mean(dim=-2)
        count = torch.tensor(logits.shape[-2], dtype=logits.dtype).log()
        if self.kind == "multi":
            return F.logsigmoid(logits).logsumexp(-2) - F.logsigmoid(-logits).logsumexp(-2)
        return logits.log_softmax(dim=-1).logsumexp(-2) - count

    def target(self, label: Label) -> Tensor:
        """What the outputs should become, float32 `(classes,)`: 0 and 1, or the numbers; NaN where nobody said."""
        count = len(self.classes)
        if label == UNKNOWN:
            return torch.full((count,), torch.nan)
        if self.kind == "number":
            assert isinstance(label, tuple), f"{self.name!r} has {label}, no numbers"
            assert len(label) == count, f"{self.name!r} has {len(label)} numbers, not {count}"
            return torch.tensor(label)
        held = [label] if isinstance(label, int) else [int(number) for number in label]
        target = torch.zeros(count)
        target[held] = 1.0
        return target


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
        return cls((Head("label", tuple(classes), "multi" if multi_label else "single"),))

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

    def averaged(self, logits: Tensor, average: Average = "logits") -> Tensor:
        """One answer out of V views, of all heads: `(..., V, sum(classes))` to `(..., sum(classes))`.

        Args:
            logits: of the views.
            average: officially the logits; the mean of the probabilities comes out as its logits.

        Raises:
            ConfigError: for another average.
        """
        if average not in get_args(Average):
            raise ConfigError(
                f"average={average!r}: views are averaged by their logits or their probabilities."
            )
        if average == "logits":
            return logits.mean(dim=-2)
        parts = self.split(logits)
        return torch.cat([head.averaged(parts[head.name], average) for head in self.heads], dim=-1)

    def with_threshold(self, head: str, threshold: float | None) -> Self:
        """The same heads, one of which answers "unknown" below a probability; None: never again.

        Raises:
            KeyError: if there is no such head.
            ConfigError: if the head cannot have this threshold.
        """
        chosen = self.head(head)
        return replace(
            self, heads=tuple(replace(h, threshold=threshold) if h is chosen else h for h in self.heads)
        )

    def targets(self, rows: Sequence[Sequence[Label]]) -> Tensor:
        """The labels of clips as what the outputs should become.

        Args:
            rows: for each clip a label for each head.

        Returns:
            float32 `(B, sum(classes))`, in the order of the logits: 0 and 1, the numbers of a `number` head, NaN for
            all outputs of a head where nobody said.
        """
        if not rows:
            return torch.empty(0, sum(self.classes))
        return torch.stack(
            [
                torch.cat([head.target(label) for head, label in zip(self.heads, row, strict=True)])
                for row in rows
            ]
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON."""
        return [
            {"name": h.name, "classes": list(h.classes), "kind": h.kind}
            | ({} if h.threshold is None else {"threshold": h.threshold})
            for h in self.heads
        ]

    @classmethod
    def from_dict(cls, values: Sequence[dict[str, Any]]) -> Self:
        """The inverse of `to_dict`; also of older files, which say `multi_label` in place of `kind`."""
        return cls(
            tuple(
                Head(
                    h["name"],
                    tuple(h["classes"]),
                    h.get("kind") or ("multi" if h.get("multi_label") else "single"),
                    h.get("threshold"),
                )
                for h in values
            )
        )
