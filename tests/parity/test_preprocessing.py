"""RandAugment and colour against numbers recorded from the official pipeline; geometry is in tests/video."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tubelet.video import augment, colour
from tubelet.video.view import View

NAMES = {
    "AutoContrast": "autocontrast",
    "Equalize": "equalize",
    "Invert": "invert",
    "Posterize": "posterize",
    "Solarize": "solarize",
    "Color": "colour",
    "Contrast": "contrast",
    "Brightness": "brightness",
    "Sharpness": "sharpness",
    "SolarizeAdd": "solarize_add",
}


def channels_first(video: np.ndarray) -> Tensor:
    return torch.from_numpy(video).movedim(-1, 1).contiguous()


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_rand_augment(golden: Path, case: str) -> None:
    """Equal to the last grey level, every operation."""
    facts = json.loads((golden / "preprocessing" / "randaugment.json").read_text())["cases"][case]
    with np.load(golden / "preprocessing" / "randaugment.npz") as recorded:
        values = {k.split("/")[1]: channels_first(v) for k, v in recorded.items() if k.startswith(f"{case}/")}
    clip = values.pop("video")
    held = facts["arguments"]["Cutout"]
    centre = held["centre_y"], held["centre_x"]
    assert torch.equal(augment.cutout(clip, centre, held["pad"]), values.pop("Cutout"))
    assert set(values) == set(NAMES)
    assert {*NAMES.values(), "identity", "cutout"} == set(augment.OPERATIONS)
    for name, expected in values.items():
        assert torch.equal(augment.operate(clip, NAMES[name], facts["magnitude"], centre), expected), name
    wide = torch.full((1, 3, 200, 200), 255, dtype=torch.uint8)
    cut = augment.operate(wide, "cutout", facts["magnitude"], (100, 100))
    pad = facts["arguments"]["Cutout_pad_at_this_magnitude"]
    assert int((cut == 0).sum()) == 3 * (2 * pad) ** 2


@pytest.mark.parametrize("case", ["0", "1"])
@pytest.mark.parametrize(("kind", "low"), [("zero_centred", -1.0), ("unit", 0.0)])
@pytest.mark.parametrize(
    ("name", "does"), [("jitter_only", (1, 0)), ("grey_only", (0, 1)), ("jitter_then_grey", (1, 1))]
)
def test_colour(golden: Path, case: str, kind: str, low: float, name: str, does: tuple[int, int]) -> None:
    with np.load(golden / "preprocessing" / "color.npz") as recorded:
        clip = channels_first(recorded[f"{case}/{kind}/in"])
        expected = channels_first(recorded[f"{case}/{kind}/{name}"])
        amounts = recorded[f"{case}/brightness_saturation_contrast_hue"].tolist()
    drawn = torch.tensor([[*amounts, *does]])
    found = colour.apply(clip[None], drawn, low, 1.0)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_view_normalises_then_colours(golden: Path) -> None:
    """The same through a view, whose pixels are grey levels, for a range and for mean and deviation."""
    with np.load(golden / "preprocessing" / "color.npz") as recorded:
        amounts = recorded["0/brightness_saturation_contrast_hue"].tolist()
    levels = torch.randint(0, 256, (1, 3, 3, 10, 12), dtype=torch.uint8)
    drawn = torch.tensor([[*amounts, 1, 0]])
    unit = colour.apply(levels / 255, drawn)
    scenic = View.scenic(frames=3, size=8, resize=10)
    torch.testing.assert_close(scenic.finish(levels, drawn), unit * 2 - 1, atol=1e-5, rtol=0)
    mean, std = (0.4, 0.5, 0.3), (0.2, 0.3, 0.25)
    image = View.image(mean, std, frames=3, size=8)
    expected = (unit - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(image.finish(levels, drawn), expected, atol=1e-5, rtol=0)
    assert torch.equal(scenic.finish(levels), scenic.normalise(levels))
