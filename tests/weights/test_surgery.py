from pathlib import Path

import numpy as np
import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.weights.rename import CONV2D, CONV3D
from tubelet.weights.surgery import fit_positions, inflate

NAMES = {"central_frame_initializer": "central_frame", "average_frame_initializer": "average"}
NAMES["average_arp_frame_initializer"] = "average_arp"


def test_inflation(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "kernel_inflation.npz")
    for number in range(4):
        kernel = CONV2D.read(torch.from_numpy(arrays[f"{number}/kernel2d"]))
        for theirs, ours in NAMES.items():
            expected = CONV3D.read(torch.from_numpy(arrays[f"{number}/{theirs}"]))
            found = inflate(kernel, expected.shape[2], ours)  # pyright: ignore[reportArgumentType]
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_tiling(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "posembed_resize.npz")
    for number in range(2):
        table = torch.from_numpy(arrays[f"tile/{number}/in"])[None]
        expected = torch.from_numpy(arrays[f"tile/{number}/out"])
        side = int(table.shape[1] ** 0.5)
        steps = expected.shape[1] // table.shape[1]
        assert torch.equal(fit_positions(table, (1, side, side), (steps, side, side), "tile"), expected)


def test_tile_needs_the_same_grid() -> None:
    with pytest.raises(ConfigError, match="resize_tile"):
        fit_positions(torch.zeros(1, 4, 3), (1, 2, 2), (2, 3, 3), "tile")
    assert fit_positions(torch.zeros(1, 4, 3), (1, 2, 2), (2, 3, 3), "resize_tile").shape == (1, 18, 3)
