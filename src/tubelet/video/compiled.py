"""Bilinear resizing compiled for this processor: the bits of `resizing._bilinear_picture`, about three times as fast.

Imported where numba is installed (`pip install "tubelet[fast]"`). Compiled once for a machine: numba keeps the result
beside this file, or in the user's cache folder.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from numpy.typing import NDArray


def by_numba(function: Callable[..., None]) -> Any:
    """Compiled without fast-math: products and sums are rounded one by one, in the order written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder can be written to: compiled anew by each process
        return njit(nogil=True)(function)


@by_numba
def bilinear(
    pictures: NDArray[np.uint8],
    up: NDArray[np.int64],
    down: NDArray[np.int64],
    downwards: NDArray[np.float32],
    near: NDArray[np.int64],
    far: NDArray[np.int64],
    across: NDArray[np.float32],
    result: NDArray[np.uint8],
) -> None:
    """Pictures (N, rows, columns x channels) into (N, channels, height, width), in place.

    Args:
        pictures: contiguous.
        up: (height,) upper input row of each output row.
        down: (height,) lower input row.
        downwards: (height,) weight of the lower.
        near: (channels x width,) where in a row the left input value of each output value is, channel after channel.
        far: (channels x width,) the right one.
        across: (channels x width,) weight of the right one.
        result: contiguous.
    """
    channels, height, width = result.shape[1:]
    values = len(near)
    # Unsigned: else each use of an index asks whether it counts from the end.
    left, right = near.astype(np.uint64), far.astype(np.uint64)
    above, below = np.empty(values, np.float32), np.empty(values, np.float32)
    line = np.empty(values, np.uint8)
    for number in range(len(pictures)):
        row_above, row_below = -1, -1  # which input rows are in `above` and `below`
        for y in range(height):
            if up[y] == row_below:  # neighbours share rows: each is resized once
                above, below = below, above
                row_above, row_below = row_below, row_above
            if up[y] != row_above:
                row_above = up[y]
                along(pictures[number, row_above], left, right, across, above)
            if down[y] != row_below:
                row_below = down[y]
                along(pictures[number, row_below], left, right, across, below)
            weight = downwards[y]
            for x in range(values):
                line[x] = np.uint8(np.int32(above[x] + (below[x] - above[x]) * weight))
            for channel in range(channels):
                for x in range(width):
                    result[number, channel, y, x] = line[channel * width + x]


@by_numba
def along(
    row: NDArray[np.uint8],
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    across: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Between the left and the right value of a row, for each output value."""
    for x in range(len(left)):
        a, b = np.float32(row[left[x]]), np.float32(row[right[x]])
        result[x] = a + (b - a) * across[x]
