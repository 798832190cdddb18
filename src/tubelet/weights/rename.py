"""Tables of names: what a tensor is called there, what it is called here, and how its numbers are laid out."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How a tensor lies in the file: `read` makes ours of it, `write` makes theirs (told the number of heads)."""

    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor, int], Tensor]


SAME = Layout(lambda x: x, lambda x, _: x)
DENSE = Layout(lambda x: x.t(), lambda x, _: x.t())
"""JAX dense kernels are (in, out)."""
HEADS_IN = Layout(lambda x: x.reshape(len(x), -1).t(), lambda x, heads: x.t().reshape(x.shape[1], heads, -1))
"""JAX query, key and value kernels are (width, heads, head_dim)."""
HEADS_BIAS = Layout(lambda x: x.reshape(-1), lambda x, heads: x.reshape(heads, -1))
HEADS_OUT = Layout(
    lambda x: x.reshape(-1, x.shape[2]).t(), lambda x, heads: x.t().reshape(heads, -1, x.shape[0])
)
"""JAX attention output kernels are (heads, head_dim, width)."""
CONV3D = Layout(lambda x: x.permute(4, 3, 0, 1, 2), lambda x, _: x.permute(2, 3, 4, 1, 0))
"""JAX 3D convolutions are (time, height, width, in, out)."""
CONV2D = Layout(lambda x: x.permute(3, 2, 0, 1)[:, :, None], lambda x, _: x[:, :, 0].permute(2, 3, 1, 0))
"""JAX 2D convolutions are (height, width, in, out); ours have a time of one frame."""
FRAME = Layout(lambda x: x[:, :, None], lambda x, _: x[:, :, 0])
"""PyTorch 2D convolutions are (out, in, height, width); ours have a time of one frame."""


@dataclass(frozen=True)
class Rename:
    """A row of a table. `{i}` stands for the number of a block."""

    theirs: str
    ours: str
    layout: Layout = SAME


@dataclass(frozen=True)
class Renamed:
    """A tensor under both its names, laid out as ours."""

    theirs: str
    ours: str
    tensor: Tensor


def match(pattern: str, name: str) -> str | None:
    """The number that `{i}` stands for in `name` ("" where the pattern has none), or None if they differ."""
    found = re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(\d+)"), name)
    return None if found is None else (found.group(1) if found.groups() else "")


def read(tensors: Mapping[str, Tensor], table: Iterable[Rename]) -> tuple[list[Renamed], list[str]]:
    """Give tensors our names and layouts; what no row knows, or not in that shape, is returned by name."""
    rows = list(table)
    renamed: list[Renamed] = []
    unknown: list[str] = []
    for name, tensor in tensors.items():
        for row in rows:
            number = match(row.theirs, name)
            if number is not None:
                try:
                    laid_out = row.layout.read(tensor).contiguous()
                except (RuntimeError, IndexError, TypeError):  # a layout of another number of axes
                    unknown.append(f"{name}, in the shape {list(tensor.shape)}")
                else:
                    renamed.append(Renamed(name, row.ours.replace("{i}", number), laid_out))
                break
        else:
            unknown.append(name)
    return renamed, unknown


def write(
    tensors: Mapping[str, Tensor], table: Iterable[Rename], heads: Callable[[str], int]
) -> dict[str, Tensor]:
    """The inverse of `read`: our tensors under their names and layouts.

    Args:
        tensors: by our names.
        table: must know all of them.
        heads: the number of heads of the layer of a tensor of this name.
    """
    rows = list(table)
    written: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        row, number = next((r, n) for r in rows if (n := match(r.ours, name)) is not None)
        written[row.theirs.replace("{i}", number)] = row.layout.write(tensor, heads(name)).contiguous()
    return written
