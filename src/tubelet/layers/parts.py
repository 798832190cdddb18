"""Inference on a CPU a part at a time: less memory, and none that the system must fetch anew.

A C library gives an allocation above some 32 MB back to the system as soon as it is freed, and takes it from there
again, page by page, for the next: as long as an activation function takes for the same tensor. What is computed in
parts below that stays in memory that is used again. The numbers are those of the whole, but for the rounding of
matrix products of another height.
"""

from collections.abc import Callable

import torch
from torch import Tensor

PART_BYTES = 16 * 2**20
"""Of the largest tensor in a part; measured: from 8 to 24 MB it makes no difference."""


def rows_in_part(tokens: Tensor, values: int) -> int | None:
    """How many rows of the first axis to compute at a time, or None for all at once.

    Args:
        tokens: what is computed on.
        values: how many values the largest tensor has for each row.
    """
    rows = tokens.shape[0]
    if (
        torch.is_grad_enabled()
        or tokens.device.type != "cpu"
        or torch.compiler.is_compiling()
        or rows * values * tokens.element_size() <= PART_BYTES
    ):
        return None
    most = max(PART_BYTES // (values * tokens.element_size()), 1)
    parts = -(-rows // most)
    return None if rows == 1 else -(-rows // parts)


def in_parts(compute: Callable[[Tensor], Tensor], tokens: Tensor, rows: int) -> Tensor:
    """`compute`, which keeps the first axis, on so many rows of it at a time."""
    out: Tensor | None = None
    for begin in range(0, tokens.shape[0], rows):
        part = compute(tokens[begin : begin + rows])
        if out is None:
            out = part.new_empty((tokens.shape[0], *part.shape[1:]))
        out[begin : begin + rows] = part
    assert out is not None, "there are rows"
    return out
