import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import resizing, transforms


def channels_first(video: np.ndarray) -> Tensor:
    return torch.from_numpy(video).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(params=["numpy", "compiled"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bilinear resizing in both ways that there are."""
    if request.param == "numpy":
        monkeypatch.setattr(resizing, "compiled", lambda: None)
    elif resizing.compiled() is None:
        pytest.skip("numba is not installed")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def differing(found: Tensor, expected: Tensor) -> float:
    """Share of values that differ; none may by more than one grey level."""
    assert found.shape == expected.shape
    error = (found.int() - expected.int()).abs()
    assert int(error.max()) <= 1
    return float((error > 0).float().mean())


@pytest.mark.parametrize("case", range(5))
@pytest.mark.usefixtures("by")
def test_official_geometry(golden: Path, case: int) -> None:
    with np.load(golden / "preprocessing" / "geometry.npz") as stored:
        values = {k.split("/")[1]: v for k, v in stored.items() if k.startswith(f"{case}/")}
    video, resized = channels_first(values["video"]), channels_first(values["resized"])
    side, cropped = values["min_resize_crop"].tolist()
    size = (cropped, cropped)
    target = transforms.shorter_side_size(video.shape[-2], video.shape[-1], side)
    assert differing(resizing.resize(video, target), resized) == 0  # no value differs; 1 % may
    factors = tuple(values["jitter_scales"].tolist())
    assert differing(transforms.rescale(resized, factors), channels_first(values["jittered"])) == 0
    assert torch.equal(transforms.centre_crop(resized, size), channels_first(values["central_crop"]))
    three = torch.cat(transforms.three_crops(resized, size))
    assert torch.equal(three, channels_first(values["three_crops"]))
    assert torch.equal(resized.flip(-1), channels_first(values["flipped"]))
    centre = channels_first(values["central_crop"])
    normalised = channels_first(values["normalised_zero_centred"])
    assert torch.equal(transforms.to_range(centre, -1, 1), normalised)
    unit = channels_first(values["normalised_unit"])
    torch.testing.assert_close(transforms.to_range(centre, 0, 1), unit, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "filter_"),
    [
        ("antialiased_bilinear", Image.Resampling.BILINEAR),
        ("antialiased_bicubic", Image.Resampling.BICUBIC),
        ("nearest", Image.Resampling.NEAREST),
        ("lanczos", Image.Resampling.LANCZOS),
        ("box", Image.Resampling.BOX),
        ("hamming", Image.Resampling.HAMMING),
    ],
)
@pytest.mark.parametrize("size", [(40, 71), (150, 133), (64, 200)])
def test_filters_are_pillows(
    name: resizing.Interpolation, filter_: Image.Resampling, size: tuple[int, int]
) -> None:
    frames = noise(2, 3, 90, 160)
    pictures = [Image.fromarray(f.permute(1, 2, 0).numpy()).resize(size[::-1], filter_) for f in frames]
    expected = channels_first(np.stack([np.asarray(p) for p in pictures]))
    assert torch.equal(resizing.resize(frames, size, name), expected)
    grey = torch.from_numpy(
        np.stack([np.asarray(Image.fromarray(f[0].numpy()).resize(size[::-1], filter_)) for f in frames])
    )
    assert torch.equal(resizing.resize(frames[:, :1], size, name)[:, 0], grey)


def bilinear(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One plane as the official code resizes it, one pixel after the other."""

    def taps(inputs: int, outputs: int) -> list[tuple[int, int, np.float32]]:
        scale = np.float32(inputs) / np.float32(outputs)
        places = [(np.float32(i) + np.float32(0.5)) * scale - np.float32(0.5) for i in range(outputs)]
        clipped = [[min(max(int(np.floor(p)) + k, 0), inputs - 1) for k in (0, 1)] for p in places]
        return [(c[0], c[1], p - np.floor(p)) for c, p in zip(clipped, places, strict=True)]

    def between(a: np.float32, b: np.float32, weight: np.float32) -> np.float32:
        return a + (b - a) * weight

    values = frame.astype(np.float32)
    found = np.empty(size, np.uint8)
    for row, (top, bottom, down) in enumerate(taps(frame.shape[0], size[0])):
        for column, (left, right, across) in enumerate(taps(frame.shape[1], size[1])):
            upper, lower = (between(values[r, left], values[r, right], across) for r in (top, bottom))
            found[row, column] = np.uint8(between(upper, lower, down))
    return found


@pytest.mark.parametrize("size", [(70, 9), (3, 5), (12, 40)])
@pytest.mark.parametrize("name", ["bilinear", "antialiased_bicubic"])
@pytest.mark.usefixtures("by")
def test_a_part_is_what_a_crop_leaves(size: tuple[int, int], name: resizing.Interpolation) -> None:
    frames = noise(2, 3, 12, 21)
    whole = resizing.resize(frames, size, name)
    if name == "bilinear":
        for frame, resized in zip(frames.flatten(0, 1).numpy(), whole.flatten(0, 1).numpy(), strict=True):
            np.testing.assert_array_equal(resized, bilinear(frame, size))
    decoded = frames.contiguous(memory_format=torch.channels_last)
    part = (size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2)
    for given_frames in (frames, decoded, decoded.flip(1)[:, :1]):
        expected = resizing.resize(given_frames.contiguous(), size, name)
        assert torch.equal(resizing.resize(given_frames, size, name), expected)
        found = resizing.resize(given_frames, size, name, part)
        assert torch.equal(found, transforms.crop(expected, part[0], part[1], part[2:]))
    with pytest.raises(ConfigError, match="does not fit"):
        resizing.resize(frames, size, name, (1, 0, *size))


@given(grey=st.integers(0, 255), rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_flat_picture_stays_flat(grey: int, rows: int, columns: int, seed: int) -> None:
    frames = torch.full((1, 3, rows, columns), grey, dtype=torch.uint8)
    size = tuple(int(s) for s in np.random.default_rng(seed).integers(1, 60, 2))
    assert torch.all(resizing.resize(frames, (size[0], size[1])) == grey)


@given(rows=st.integers(4, 30), columns=st.integers(4, 30), height=st.integers(1, 4), width=st.integers(1, 4))
def test_crops_are_where_they_say(rows: int, columns: int, height: int, width: int) -> None:
    places = torch.arange(rows * columns).reshape(1, 1, rows, columns)
    size = (height, width)
    first, centre, last = transforms.three_crops(places, size)
    corners = [divmod(int(c[0, 0, 0, 0]), columns) for c in (first, centre, last)]
    middle = (-(-(rows - height) // 2), -(-(columns - width) // 2))
    if rows > columns:
        assert corners == [(0, middle[1]), middle, (rows - height, middle[1])]
    else:
        assert corners == [(middle[0], 0), middle, (middle[0], columns - width)]
    centre = transforms.centre_crop(places, size)
    assert divmod(int(centre[0, 0, 0, 0]), columns) == ((rows - height) // 2, (columns - width) // 2)
    drawn = transforms.random_crop(places, size, torch.Generator().manual_seed(rows))
    assert drawn.shape[-2:] == size


def test_random_crops_reach_every_corner_and_flips_are_even() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(12).reshape(1, 1, 3, 4)
    seen = {int(transforms.random_crop(places, (2, 3), generator)[0, 0, 0, 0]) for _ in range(100)}
    assert seen == {0, 1, 4, 5}
    flipped = sum(not torch.equal(transforms.random_flip(places, generator), places) for _ in range(400))
    assert 150 < flipped < 250


def test_one_draw_for_all_frames_and_the_generator_decides() -> None:
    frame = noise(1, 3, 40, 50)
    clip = frame.expand(6, -1, -1, -1).contiguous()

    def augment(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        found = transforms.jitter_scale(clip, (0.9, 1.33), generator)
        found = transforms.random_crop(found, (32, 32), generator)
        return transforms.random_flip(found, generator)

    found = augment(1)
    assert all(torch.equal(found[0], f) for f in found)
    assert torch.equal(found, augment(1))
    assert any(not torch.equal(found, augment(seed)) for seed in range(2, 6))


def test_jitter_factors_are_independent_and_in_range() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = np.array(
        [
            transforms.jitter_scale(noise(1, 1, 100, 100), (0.9, 1.33), generator).shape[-2:]
            for _ in range(300)
        ]
    )
    assert sizes.min() >= 90
    assert sizes.max() <= 133
    assert sizes.min() <= 92
    assert sizes.max() >= 130
    assert abs(np.corrcoef(sizes.T)[0, 1]) < 0.2


def test_shorter_side() -> None:
    assert transforms.shorter_side_size(1080, 1920, 256) == (256, 455)
    assert transforms.shorter_side_size(1920, 1080, 256) == (455, 256)
    assert transforms.shorter_side_size(50, 50, 24) == (24, 24)


def test_pad_region_and_luma() -> None:
    frames = noise(1, 3, 4, 6)
    padded = transforms.pad_to(frames, (7, 6))
    assert padded.shape == (1, 3, 7, 6)
    assert torch.equal(padded[..., 2:6, :], frames)
    assert int(padded[..., :2, :].sum() + padded[..., 6:, :].sum()) == 0
    assert transforms.pad_to(frames, (2, 2)) is frames
    assert torch.equal(transforms.cut_region(frames, (0.5, 0, 1, 0.5)), frames[..., 2:4, :3])
    assert transforms.cut_region(frames, (0.999, 0.999, 1, 1)).shape[-2:] == (1, 1)
    grey = Image.fromarray(frames[0].permute(1, 2, 0).numpy()).convert("L")
    assert np.array_equal(transforms.luma(frames)[0, 0].numpy(), np.asarray(grey))


def test_values() -> None:
    pixels = noise(2, 4, 3, 5, 5)
    found = transforms.standardise(pixels, (0.1, 0.2, 0.3), (0.5, 1, 2))
    expected = (pixels.double() / 255 - torch.tensor([0.1, 0.2, 0.3]).double()[:, None, None]) / torch.tensor(
        [0.5, 1, 2]
    ).double()[:, None, None]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert found.dtype == torch.float32
    with pytest.raises(ConfigError, match="3 means for frames of 1 channels"):
        transforms.standardise(pixels[:, :, :1], (0.1, 0.2, 0.3), (1, 1, 1))


def test_refusals_are_sentences() -> None:
    with pytest.raises(ConfigError, match="does not fit frames of 4x6"):
        transforms.centre_crop(noise(1, 3, 4, 6), (5, 5))
    with pytest.raises(ConfigError, match="uint8 tensor"):
        resizing.resize(torch.rand(1, 3, 4, 6), (2, 2))


@pytest.mark.parametrize("interpolation", ["bilinear", "antialiased_bilinear"])
@pytest.mark.parametrize(
    ("source", "first", "second", "part"),
    [
        ((36, 64), (25, 45), (31, 40), (3, 7, 20, 21)),
        ((36, 64), (25, 45), (25, 45), (5, 0, 20, 45)),
        ((20, 11), (41, 22), (30, 33), (0, 0, 30, 33)),
        ((20, 11), (20, 11), (9, 30), (8, 29, 1, 1)),
        ((7, 9), (1, 1), (12, 5), (2, 1, 9, 3)),
    ],
)
@pytest.mark.usefixtures("by")
def test_two_resizings_at_once(
    interpolation: resizing.Interpolation,
    source: tuple[int, int],
    first: tuple[int, int],
    second: tuple[int, int],
    part: resizing.Part,
):
    """Every bit as one after the other, whatever of the frames between is left out."""
    together = torch.randint(
        0, 256, (2, *source, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    for frames in (together.permute(0, 3, 1, 2), together.permute(0, 3, 1, 2).contiguous()):
        between = resizing.resize(frames, first, interpolation)
        expected = transforms.crop(
            resizing.resize(between, second, interpolation), part[0], part[1], (part[2], part[3])
        )
        found = resizing.resize_twice(frames, first, second, interpolation, part)
        assert torch.equal(found, expected)


def test_what_is_compiled_need_not_be_kept() -> None:
    """Where no folder can be written to, as of a function that is in no file, it is compiled all the same."""
    pytest.importorskip("numba", reason="numba is not installed")
    from tubelet.video.compiled import by_numba

    scope: dict[str, Any] = {}
    exec("def first(values):\n    values[0] = 7", scope)
    values = np.zeros(2, np.uint8)
    by_numba(scope["first"])(values)
    assert values.tolist() == [7, 0]


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "tubelet.video.compiled", raising=False)
    resizing.compiled.cache_clear()
    try:
        assert resizing.compiled() is None
        assert resizing.resize(noise(1, 3, 8, 8), (4, 4)).shape == (1, 3, 4, 4)
    finally:
        resizing.compiled.cache_clear()
