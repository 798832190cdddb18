"""Colour jitter and drop; the recorded values are in tests/parity/test_preprocessing.py."""

import colorsys

import torch

from tubelet.video import colour


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_hue_and_saturation_are_those_of_hsv() -> None:
    pixels = torch.rand(1, 1, 3, 5, 6)
    found = colour.turn_hue(pixels, torch.full((1, 1, 1, 1), 0.3))
    pale = colour.scale_saturation(pixels, torch.full((1, 1, 1, 1), 0.5))
    for place in ((0, 0), (3, 4), (4, 5)):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixels[0, 0, :, *place].tolist())
        expected = torch.tensor(colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value))
        torch.testing.assert_close(found[0, 0, :, *place], expected, atol=1e-6, rtol=0)
        expected = torch.tensor(colorsys.hsv_to_rgb(hue, saturation / 2, value))
        torch.testing.assert_close(pale[0, 0, :, *place], expected, atol=1e-6, rtol=0)


def test_nothing_drawn_changes_nothing_and_clips_do_not_see_each_other() -> None:
    clips = torch.rand(4, 2, 3, 5, 6) * 2 - 1
    rows = [colour.draw(*p, generator(3)) for p in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))]
    assert rows[0].tolist() == list(colour.NOTHING)
    together = colour.apply(clips, torch.stack(rows), -1, 1)
    assert torch.equal(together[0], clips[0])
    for number, row in enumerate(rows):
        alone = colour.apply(clips[number : number + 1], row[None], -1, 1)[0]
        torch.testing.assert_close(together[number], alone)
        assert (number == 0) == torch.equal(alone, clips[number])
    assert together.min() >= -1.001
    assert together[1].max() <= 1
    for grey in (2, 3):
        assert torch.equal(together[grey][:, 0], together[grey][:, 2])


def test_draws_have_the_official_ranges_and_probabilities() -> None:
    rows = torch.stack([colour.draw(0.8, 0.1, generator(seed)) for seed in range(2000)])
    assert 0.77 < rows[:, 4].mean() < 0.83
    assert 0.08 < rows[:, 5].mean() < 0.12
    jittered = rows[rows[:, 4] == 1]
    for column, (low, high) in enumerate(((-32 / 255, 32 / 255), (0.6, 1.4), (0.6, 1.4), (-0.2, 0.2))):
        assert low <= jittered[:, column].min() < low + 0.02
        assert high - 0.02 < jittered[:, column].max() <= high


def test_black_and_grey_pixels_have_no_hue() -> None:
    pixels = torch.tensor([0.0, 0.5])[None, None, None, None].expand(1, 1, 3, 1, 2)
    for found in (
        colour.turn_hue(pixels, torch.full((1, 1, 1, 1), 0.1)),
        colour.scale_saturation(pixels, torch.full((1, 1, 1, 1), 1.4)),
    ):
        torch.testing.assert_close(found, pixels)
