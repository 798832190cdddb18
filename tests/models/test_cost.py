"""Counted costs against the paper's table and the operations of the official code's matrix products."""

import pytest
import torch

from tubelet.models.config import ViViTConfig
from tubelet.models.cost import count_cost
from tubelet.models.variants import VARIANTS, variant
from tubelet.models.vivit import ViViT


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("b-16x2", 88_954_000, 451.52),
        ("b-16x2-fe", 115_062_928, 283.34),
        ("b-16x2-fe-average", 86_696_080, 282.86),
        ("b-16x2-fsa", 117_319_312, 371.09),
        ("b-16x2-fdp", 88_952_464, 276.18),
    ],
)
def test_paper_table(name: str, parameters: int, gmacs: float) -> None:
    cost = count_cost(variant(name))
    assert cost.parameters == parameters
    assert cost.macs / 1e9 == pytest.approx(gmacs, rel=1e-4)
    assert cost.tokens == (16, 14, 14)
    paper = VARIANTS[name]
    assert cost.parameters / 1e6 == pytest.approx(paper.paper_parameters_millions, abs=0.06)
    assert cost.macs / 1e9 == pytest.approx(paper.paper_gflops, rel=0.01)


def test_activation_memory_is_what_autograd_keeps() -> None:
    config = ViViTConfig(frames=4, size=32, tubelet=(2, 8, 8), width=48, depth=2, heads=4, hidden=96)
    model = ViViT(config)
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        model(torch.rand(1, 4, 3, 32, 32))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    assert count_cost(config).training_bytes == sum(n for key, n in kept.items() if key not in own)
