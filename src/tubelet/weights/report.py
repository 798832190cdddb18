"""`LoadReport`: what became of every tensor of a file."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.layers.embedding import Positions
from tubelet.models.config import ViViTConfig

FEWEST_TENSORS_OF_A_BLOCK = 13
"""Those of Models 1, 2 and 4 without biases of query, key and value."""
MOST_FIXED_POSITIONS = 2**26
"""Numbers in a table of positions that is computed, not read: 20 times those of 32 frames of 224x224 pixels at width
1024."""

MOST_LINES = 20
"""Tensors that are left out for one reason, of which a printed report names each; `rows` has them all."""

Action = Literal["taken", "inflated", "tiled", "resized", "split", "fresh", "left out"]


@dataclass(frozen=True)
class Row:
    """One tensor: what was done, its name in the file and in the model (empty where it has none), and why."""

    action: Action
    theirs: str
    ours: str
    shape: tuple[int, ...]
    remark: str = ""


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor of a weights file, and what the file could not tell."""

    file: str
    format: str
    rows: tuple[Row, ...]
    assumed: Mapping[str, str] = field(default_factory=dict[str, str])
    """What no tensor fixes and nobody said, by field: the value taken, and what would change it."""

    def count(self, action: Action) -> int:
        """How many tensors this was done to."""
        return sum(row.action == action for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rows = [vars(row) | {"shape": list(row.shape)} for row in self.rows]
        return {"file": self.file, "format": self.format, "assumed": dict(self.assumed), "rows": rows}

    def __str__(self) -> str:
        """A line of counts, a line for each assumption, and a line for each tensor that was not simply taken.

        Of many that are left out for one reason, such as the state of an optimizer, the line says how many.
        """
        actions: dict[Action, None] = dict.fromkeys(row.action for row in self.rows)
        lines = [f"{self.file} ({self.format}): " + ", ".join(f"{self.count(a)} {a}" for a in actions)]
        lines += [f"  assumed {name} = {why}" for name, why in self.assumed.items()]
        alike = Counter(row.remark for row in self.rows if row.action == "left out")
        lines += [
            f"  left out: {count} tensors ({why})" for why, count in alike.items() if count > MOST_LINES
        ]
        for row in self.rows:
            if row.action != "taken" and not (row.action == "left out" and alike[row.remark] > MOST_LINES):
                names = " -> ".join(name for name in (row.theirs, row.ours) if name)
                remark = f" ({row.remark})" if row.remark else ""
                lines.append(f"  {row.action}: {names} {list(row.shape)}{remark}")
        return "\n".join(lines)


def check_plausible(config: ViViTConfig, tensors: int, file: str) -> None:
    """Refuse a config, itself read from a file, of more than so many tensors can hold, before a model is built of it.

    Raises:
        WeightsError: if so.
    """
    blocks = config.depth + (config.temporal_depth or 0)
    if blocks * FEWEST_TENSORS_OF_A_BLOCK > tensors:
        raise WeightsError(
            f"{file} speaks of {blocks} blocks, and has only {tensors} tensors: at least "
            f"{FEWEST_TENSORS_OF_A_BLOCK} belong to each."
        )
    tokens = math.prod(config.grid)
    if config.positions.startswith("sinusoidal") and tokens * config.width > MOST_FIXED_POSITIONS:
        raise WeightsError(f"{file} speaks of {tokens:,} tokens, too many to make positions for.")


def load_strictly(
    model: nn.Module, tensors: Mapping[str, Tensor], file: str, left: Iterable[str] = ()
) -> None:
    """Copy tensors into a model, all of them into all of it.

    Args:
        model: what is filled; a hollow one takes the tensors themselves, not copies.
        tensors: by the model's own names.
        file: for the message.
        left: names in the file that nothing was made of.

    Raises:
        WeightsError: listing every tensor that is missing, left over or of another shape. Nothing is copied then.
    """
    own = model.state_dict()
    problems = [f"  not understood: {name}" for name in left]
    problems += [f"  missing: {name} {list(own[name].shape)}" for name in own if name not in tensors]
    problems += [f"  left over: {name} {list(t.shape)}" for name, t in tensors.items() if name not in own]
    problems += [
        f"  shape: {name} is {list(t.shape)} in the file and {list(own[name].shape)} in the model"
        for name, t in tensors.items()
        if name in own and own[name].shape != t.shape
    ]
    if problems:
        raise WeightsError("\n".join([f"{file} does not fit the model:", *problems]))
    hollow = any(tensor.is_meta for tensor in own.values())
    model.load_state_dict(dict(tensors), assign=hollow)
    for module in model.modules():
        if isinstance(module, Positions) and module.table.is_meta:
            module.register_buffer("table", module.fixed_table(), persistent=False)  # no file holds them
