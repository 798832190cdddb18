"""Blocks in int8: near float32, by scales of each example's own."""

import pytest
import torch
from torch import Tensor, nn

from tubelet.layers import int8
from tubelet.layers.int8 import Int8Linear, Int8MLP, is_quantised, quantise
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
GENERATOR = torch.Generator().manual_seed(0)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_linear_layer(bias: bool) -> None:
    linear = nn.Linear(64, 48, bias=bias)
    nn.init.normal_(linear.weight, generator=GENERATOR)
    linear.weight[0] *= 1000  # a scale for each output, or the others would be lost
    linear.weight[1] = 0
    layer = Int8Linear(linear)
    tokens = torch.rand(3, 5, 7, 64, generator=GENERATOR) * 3 - 1  # not around zero
    wanted, found = linear(tokens), layer(tokens)
    assert found.shape == wanted.shape
    assert 1e-4 < error(found[..., 2:], wanted[..., 2:]) < 0.012
    assert error(found[..., 0], wanted[..., 0]) < 0.012
    assert torch.equal(found[..., 1], wanted[..., 1])
    assert error(layer(tokens[0, 0]), wanted[0, 0]) < 0.012
    # What lies all on one side of zero, and nothing at all.
    assert error(layer(tokens + 5), linear(tokens + 5)) < 0.02
    torch.testing.assert_close(layer(tokens * 0), linear(tokens * 0), rtol=1e-6, atol=1e-6)


@torch.inference_mode()
def test_company_and_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "ROWS", 4)
    layer = Int8Linear(nn.Linear(16, 8))
    tokens = torch.randn(2, 6, 16, generator=GENERATOR)
    tokens[1] *= 100
    assert torch.equal(layer(tokens)[0], layer(tokens[:1])[0])
    # Four tokens have a scale, and the two after them another.
    tokens[0, 4:] *= 100
    assert torch.equal(layer(tokens)[0, :4], layer(tokens[:, :4])[0])


@pytest.mark.parametrize("kind", ["joint", "factorised_encoder", "factorised_self_attention"])
@torch.inference_mode()
def test_a_model(kind: str) -> None:
    config = ViViTConfig(
        attention=kind, frames=4, size=32, tubelet=(2, 8, 8), width=48, depth=2, heads=4, hidden=96, classes=(5,)
    )  # fmt: skip
    model = ViViT(config, GENERATOR).eval()
    nn.init.normal_(model.head.weight, generator=GENERATOR)
    video = torch.rand(2, 4, 3, 32, 32, generator=GENERATOR) * 2 - 1
    exact = model(video)
    assert not is_quantised(model)
    quantise(model)
    assert is_quantised(model)
    left = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert left == ["head"]
    assert any(isinstance(module, Int8MLP) for module in model.modules())
    assert 1e-4 < error(model(video), exact) < 0.05
