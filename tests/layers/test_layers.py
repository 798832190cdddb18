"""The layers against recorded numbers of the official code, and against PyTorch's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tubelet.layers.attention import Attention, attend
from tubelet.layers.block import ACTIVATIONS
from tubelet.layers.embedding import TubeletEmbedding, resample
from tubelet.layers.encoder import pool_tokens
from tubelet.weights.rename import CONV3D, HEADS_BIAS, HEADS_IN, HEADS_OUT


@pytest.fixture
def recorded(golden: Path) -> dict[str, Tensor]:
    arrays = np.load(golden / "functions" / "layers.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def test_gelu_and_layer_norm(recorded: dict[str, Tensor]) -> None:
    gelu = ACTIVATIONS["gelu_tanh"](recorded["gelu/in"])
    torch.testing.assert_close(gelu, recorded["gelu/out"], rtol=1e-5, atol=1e-6)
    norm = nn.LayerNorm(16, eps=1e-6)
    norm.weight.data, norm.bias.data = recorded["layernorm/scale"], recorded["layernorm/bias"]
    torch.testing.assert_close(
        norm(recorded["layernorm/in"]), recorded["layernorm/out"], rtol=1e-5, atol=1e-5
    )


def test_attention(recorded: dict[str, Tensor]) -> None:
    layer = Attention(12, heads=3, head_dim=4, axes=(1,), qkv_bias=True, dropout=0)
    with torch.no_grad():
        for part in ("query", "key", "value", "out"):
            linear = layer.get_submodule(part)
            kernel, bias = recorded[f"mha/param:{part}/kernel"], recorded[f"mha/param:{part}/bias"]
            linear.get_parameter("weight").copy_((HEADS_OUT if part == "out" else HEADS_IN).read(kernel))
            linear.get_parameter("bias").copy_(bias if part == "out" else HEADS_BIAS.read(bias))
    torch.testing.assert_close(layer(recorded["mha/in"]), recorded["mha/out"], rtol=1e-5, atol=1e-5)


def test_factorised_dot_product(recorded: dict[str, Tensor]) -> None:
    """First half of the heads over time, second over space."""
    q, k, v = (recorded[f"fdp/{name}"] for name in "qkv")
    halves = [
        attend(*(x[..., part, :] for x in (q, k, v)), axis)
        for axis, part in ((1, slice(2)), (2, slice(2, 4)))
    ]
    torch.testing.assert_close(torch.cat(halves, -2), recorded["fdp/out"], rtol=1e-5, atol=1e-5)


def test_embedding(recorded: dict[str, Tensor]) -> None:
    """The official one drops what is left of a tubelet; here that is cut off first."""
    kernel = CONV3D.read(recorded["conv3d/kernel"])
    layer = TubeletEmbedding(3, (kernel.shape[2], kernel.shape[3], kernel.shape[4]), 6)
    layer.weight.data, layer.bias.data = kernel, recorded["conv3d/bias"]
    video = recorded["conv3d/in"].movedim(-1, 2)[:, :4, :, :8, :9]
    torch.testing.assert_close(layer(video), recorded["conv3d/out"], rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    tubelet=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    channels=st.integers(1, 4),
)
def test_embedding_is_a_strided_convolution(
    tubelet: tuple[int, int, int], grid: tuple[int, int, int], channels: int
) -> None:
    layer = TubeletEmbedding(channels, tubelet, 5)
    nn.init.normal_(layer.weight)
    t, h, w = (n * size for n, size in zip(grid, tubelet, strict=True))
    video = torch.randn(2, t, channels, h, w)
    expected = F.conv3d(video.transpose(1, 2), layer.weight, layer.bias, stride=tubelet)
    torch.testing.assert_close(layer(video), expected.movedim(1, -1), rtol=1e-4, atol=1e-4)


def test_resampling_of_positions(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "posembed_resize.npz")
    for name in arrays.files:
        kind, number, which = name.split("/")
        if which == "out" or kind == "tile":
            continue
        table, expected = (
            torch.from_numpy(arrays[name])[None],
            torch.from_numpy(arrays[f"{kind}/{number}/out"]),
        )
        if kind == "grid":
            source, target = (int(x.shape[1] ** 0.5) for x in (table, expected))
            ours = resample(table, (1, source, source), (1, target, target))
        else:
            ours = resample(table, (table.shape[1], 1, 1), (expected.shape[1], 1, 1))
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@given(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)))
def test_resampling_to_the_own_grid_is_the_table_itself(grid: tuple[int, int, int]) -> None:
    table = torch.randn(1, grid[0] * grid[1] * grid[2], 3)
    assert resample(table, grid, grid) is table


def test_pooling() -> None:
    tokens = torch.tensor([[[1.0, 5], [3, 1]]])
    for pool, expected in (
        ("class", [1, 5]),
        ("first", [1, 5]),
        ("mean", [2, 3]),
        ("max", [3, 5]),
        ("sum", [4, 6]),
    ):
        assert pool_tokens(tokens, pool)[0].tolist() == expected


def test_tokens_without_the_axis_of_attention_are_refused() -> None:
    """Else the heads would be taken for the axis, and tokens would never meet."""
    layer = Attention(8, heads=2, head_dim=4, axes=(2,), qkv_bias=True, dropout=0.0)
    with pytest.raises(ValueError, match=r"takes tokens of 4 axes or more.*\(2, 3, 8\)"):
        layer(torch.zeros(2, 3, 8))
    assert layer(torch.zeros(2, 5, 3, 8)).shape == (2, 5, 3, 8)
