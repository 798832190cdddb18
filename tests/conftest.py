"""What many tests share: where the recorded numbers are, and how near is near enough."""

from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded numbers, real videos and weights beside the project; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared: recorded numbers, real videos and weights, which are not distributed")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """The recorded numbers of the official code."""
    return shared / "golden" / "scenic"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
