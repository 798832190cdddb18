from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.weights.rename import CONV2D, CONV3D
from tubelet.weights.surgery import Inflation, change_channels, fit_positions, inflate, new_normalisation

NAMES: dict[str, Inflation] = {
    "central_frame_initializer": "central_frame",
    "average_frame_initializer": "average",
    "average_arp_frame_initializer": "average_arp",
}


def test_inflation(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "kernel_inflation.npz")
    for number in range(4):
        kernel = CONV2D.read(torch.from_numpy(arrays[f"{number}/kernel2d"]))
        for theirs, ours in NAMES.items():
            expected = CONV3D.read(torch.from_numpy(arrays[f"{number}/{theirs}"]))
            if ours == "average_arp" and expected.shape[2] == 1:
                assert not expected.any()  # the official weights of one frame are zero: no start at all
                expected = kernel
            found = inflate(kernel, expected.shape[2], ours)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@given(given_=st.integers(1, 6), wanted=st.integers(1, 6))
def test_average_answers_a_still_clip_as_before(given_: int, wanted: int) -> None:
    kernel = torch.randn(5, 3, given_, 2, 2, dtype=torch.float64)
    found = inflate(kernel, wanted, "average")
    assert found.shape == (5, 3, wanted, 2, 2)
    torch.testing.assert_close(found.sum(dim=2), kernel.sum(dim=2))


def test_average_splits_and_joins_frames() -> None:
    a, b = torch.randn(2, 4, 3, 1, 2, 2)
    two = torch.cat((a, b), dim=2)
    torch.testing.assert_close(inflate(two, 4, "average"), torch.cat((a, a, b, b), dim=2) / 2)
    torch.testing.assert_close(inflate(inflate(two, 4, "average"), 2, "average"), two)


def test_a_central_frame_of_several() -> None:
    kernel = torch.randn(4, 3, 2, 2, 2)
    found = inflate(kernel, 4, "central_frame")
    assert torch.equal(found[:, :, 1:3], kernel)
    assert not found[:, :, [0, 3]].any()
    with pytest.raises(ConfigError, match="average"):
        inflate(kernel, 1, "central_frame")
    with pytest.raises(ConfigError, match="of one frame"):
        inflate(kernel, 4, "average_arp")


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def embed(
    kernel: Tensor, bias: Tensor, pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """What an embedding of one patch says of pixels `(B, C, t, h, w)` in [0, 1]."""
    m, s = (torch.tensor(x, dtype=torch.float64)[:, None, None, None] for x in (mean, std))
    return ((pixels - m) / s).flatten(1) @ kernel.flatten(1).T + bias


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 13, 16])
def test_grey_is_seen_as_before(channels: int) -> None:
    """`grey`: the same picture in all channels gives exactly what the RGB model says of it, mean and std included."""
    kernel, bias = torch.randn(8, 3, 2, 4, 4, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    picture = torch.rand(5, 1, 2, 4, 4, dtype=torch.float64)
    expected = embed(kernel, bias, picture.expand(-1, 3, -1, -1, -1), MEAN, STD)
    for rule in ("grey", "energy") if channels == 1 else ("grey",):
        found, moved = change_channels(kernel, bias, channels, rule, MEAN, STD)
        assert found.shape == (8, channels, 2, 4, 4)
        values = new_normalisation(MEAN, STD, channels, rule)
        if channels == 3:
            values = MEAN, STD
        same = picture.expand(-1, channels, -1, -1, -1)
        torch.testing.assert_close(embed(found, moved, same, *values), expected)


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 13, 16])
def test_energy_is_kept(channels: int) -> None:
    """`energy`: independent channels give answers of the variance that grey pictures of that variance give."""
    kernel, bias = torch.randn(8, 3, 1, 4, 4, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
    one = (1.0,) * 3
    found, _ = change_channels(kernel, bias, channels, "energy", (0.0,) * 3, one)
    torch.testing.assert_close(
        found.square().sum(dim=(1, 2, 3, 4)), kernel.sum(dim=1).square().sum(dim=(1, 2, 3))
    )
    normal = torch.randn(20_000, channels, 1, 4, 4, dtype=torch.float64)
    grey = normal[:, :1].expand(-1, 3, -1, -1, -1)
    answers = embed(found, bias, normal, (0.0,) * channels, (1.0,) * channels).var(dim=0)
    expected = embed(kernel, bias, grey, (0.0,) * 3, one).var(dim=0)
    torch.testing.assert_close(answers, expected, rtol=0.06, atol=0)
    smaller, _ = change_channels(kernel, bias, channels, "grey", (0.0,) * 3, one)
    torch.testing.assert_close(found, smaller * channels**0.5)


def test_extended_channels_start_silent() -> None:
    kernel, bias = torch.randn(8, 3, 1, 4, 4, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    found, moved = change_channels(kernel, bias, 5, "extend", MEAN, STD)
    values = new_normalisation(MEAN, STD, 5, "extend")
    assert values[0][:3] == MEAN
    assert values[1][:3] == STD
    pixels = torch.rand(5, 5, 1, 4, 4, dtype=torch.float64)
    expected = embed(kernel, bias, pixels[:, :3], MEAN, STD)
    torch.testing.assert_close(embed(found, moved, pixels, *values), expected)
    with pytest.raises(ConfigError, match="energy"):
        change_channels(kernel, bias, 2, "extend", MEAN, STD)


def test_resizing(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "posembed_resize.npz")
    kinds = {"grid": lambda n: (1, int(n**0.5), int(n**0.5)), "temporal": lambda n: (n, 1, 1)}
    seen = 0
    for kind, grid in kinds.items():
        for key in (k for k in arrays.files if k.startswith(f"{kind}/") and k.endswith("/in")):
            table, expected = (torch.from_numpy(arrays[k]) for k in (key, key.removesuffix("in") + "out"))
            table = table[None]
            source, target = grid(table.shape[1]), grid(expected.shape[1])
            for rule in ("resize", "resize_square") if kind == "grid" else ("resize",):
                found = fit_positions(table, source, target, rule)
                torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
                seen += 1
    assert seen >= 4


def test_tiling(golden: Path) -> None:
    arrays = np.load(golden / "functions" / "posembed_resize.npz")
    for number in range(2):
        table = torch.from_numpy(arrays[f"tile/{number}/in"])[None]
        expected = torch.from_numpy(arrays[f"tile/{number}/out"])
        side = int(table.shape[1] ** 0.5)
        steps = expected.shape[1] // table.shape[1]
        assert torch.equal(fit_positions(table, (1, side, side), (steps, side, side), "tile"), expected)


def test_each_rule_has_its_grids() -> None:
    table = torch.randn(1, 8, 3)
    with pytest.raises(ConfigError, match="'resize'"):
        fit_positions(table[:, :4], (1, 2, 2), (2, 3, 3), "tile")
    with pytest.raises(ConfigError, match="no multiple"):
        fit_positions(table, (2, 2, 2), (3, 2, 2), "tile")
    with pytest.raises(ConfigError, match="square numbers"):
        fit_positions(table, (2, 2, 2), (4, 3, 3), "resize_square")
    assert fit_positions(table[:, :4], (1, 2, 2), (2, 3, 3), "resize_tile").shape == (1, 18, 3)
    assert fit_positions(table.repeat(1, 2, 1), (4, 2, 2), (1, 4, 4), "resize_square").shape == (1, 16, 3)
    assert torch.equal(fit_positions(table, (2, 2, 2), (4, 2, 2), "tile"), table.repeat(1, 2, 1))
    mean = table.unflatten(1, (2, 4)).mean(dim=1)
    for rule in ("resize", "tile", "resize_tile"):  # a table without time: the mean over it
        torch.testing.assert_close(fit_positions(table, (2, 2, 2), (1, 2, 2), rule), mean)


@given(steps=st.integers(1, 5), side=st.integers(1, 4))
def test_an_image_is_repeated_by_every_rule(steps: int, side: int) -> None:
    table = torch.randn(1, 4, 3)
    resized, tiled = (
        fit_positions(table, (1, 2, 2), (steps, side, side), rule) for rule in ("resize", "resize_tile")
    )
    torch.testing.assert_close(resized, tiled)
