"""Colour jitter and colour drop of training clips, on float values: the official last step of preprocessing.

The worker that decodes a clip draws (`draw`), and the device that holds the values applies (`apply`), so that clips
travel as uint8. Officially saturation scales S in HSV, where torchvision blends with grey.

Legend: B clips, F frames, H W pixels.
"""

import torch
from torch import Tensor

from tubelet.video.augment import GREY

BRIGHTNESS, SATURATION, CONTRAST, HUE = 32 / 255, (0.6, 1.4), (0.6, 1.4), 0.2
"""The official strengths, for values in [0, 1]; hue in turns of the colour wheel."""

NOTHING = (0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
"""What `draw` says of a clip that is left alone."""


def draw(jitter: float, drop: float, generator: torch.Generator) -> Tensor:
    """What becomes of the colours of one clip, all its frames alike.

    Args:
        jitter: probability of a colour jitter; officially 0.8.
        drop: probability of a grey clip; officially 0.1.
        generator: draws everything.

    Returns:
        float32 (6,): brightness that is added, factors of saturation and contrast, hue that is added, then 1 where
        there is a jitter at all, and 1 where the clip becomes grey.
    """
    jittered, grey, *places = torch.rand(6, generator=generator).tolist()
    low = torch.tensor([-BRIGHTNESS, SATURATION[0], CONTRAST[0], -HUE])
    high = torch.tensor([BRIGHTNESS, SATURATION[1], CONTRAST[1], HUE])
    amounts = low + torch.tensor(places) * (high - low)
    if jittered >= jitter:
        return torch.tensor([*NOTHING[:5], float(grey < drop)])
    return torch.cat((amounts, torch.tensor([1.0, float(grey < drop)])))


def apply(values: Tensor, draws: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Jitter and drop the colours of clips as drawn.

    Args:
        values: float (B, F, 3, H, W), on any device.
        draws: (B, 6) of `draw`.
        low: what black is in `values`.
        high: what white is.

    Returns:
        Values in the same range; clips with nothing drawn are those that came in.
    """
    result, device = values, values.device
    jittered, grey = (draws[:, column].nonzero().flatten() for column in (4, 5))
    amounts = draws[jittered, :4].to(device)
    jittered, grey = jittered.to(device), grey.to(device)
    if len(jittered):
        unit = (values[jittered] - low) / (high - low)
        unit = jitter_unit(unit, amounts) * (high - low) + low
        result = result.index_copy(0, jittered, unit)
    if len(grey):
        result = result.index_copy(0, grey, drop_colour(result[grey]))
    return result


def jitter_unit(values: Tensor, amounts: Tensor) -> Tensor:
    """Brightness, saturation, contrast and hue, in this order: (B, F, 3, H, W) in [0, 1], amounts (B, 4)."""
    brightness, saturation, contrast, hue = amounts[:, :, None, None, None].unbind(1)  # each (B, 1, 1, 1)
    values = scale_saturation(values + brightness[:, None], saturation)
    mean = values.mean(dim=(-2, -1), keepdim=True)  # of each channel in each frame
    values = (values - mean) * contrast[:, None] + mean
    return turn_hue(values, hue).clamp(0, 1)


def drop_colour(values: Tensor) -> Tensor:
    """Grey in all three channels: (..., 3, H, W) to the same."""
    weights = torch.tensor(GREY, device=values.device, dtype=values.dtype)[:, None, None]
    return (values * weights).sum(dim=-3, keepdim=True).expand_as(values)


def scale_saturation(values: Tensor, factor: Tensor) -> Tensor:
    """Multiply S of HSV, at most 1: (B, F, 3, H, W), factor (B, 1, 1, 1)."""
    hue, lowest, highest = hue_of(values)
    saturation = torch.where(highest > 0, (highest - lowest) / highest, 0.0)
    saturation = (saturation * factor).clamp(0, 1)
    return from_hue(hue, highest * (1 - saturation), highest)


def turn_hue(values: Tensor, turns: Tensor) -> Tensor:
    """Add to H of HSV, in turns: (B, F, 3, H, W), turns (B, 1, 1, 1)."""
    hue, lowest, highest = hue_of(values)
    return from_hue(hue + turns, lowest, highest)


def hue_of(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 3, H, W) to hue in turns, least and greatest channel, each (..., H, W)."""
    red, green, blue = values.unbind(-3)
    lowest, highest = values.amin(dim=-3), values.amax(dim=-3)
    spread = highest - lowest
    sixth = 1 / (6 * torch.where(spread > 0, spread, 1.0))
    hue = torch.where(
        red == highest,
        (green - blue) * sixth,
        torch.where(green == highest, (blue - red) * sixth + 2 / 6, (red - green) * sixth + 4 / 6),
    )
    return torch.where(spread > 0, hue, 0.0), lowest, highest


def from_hue(hue: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """The inverse of `hue_of`; whole turns of the hue make no difference."""
    around = (hue % 1) * 6
    red = ((around - 3).abs() - 1).clamp(0, 1)
    green = (2 - (around - 2).abs()).clamp(0, 1)
    blue = (2 - (around - 4).abs()).clamp(0, 1)
    weight = torch.stack((red, green, blue), dim=-3)
    lowest, highest = lowest.unsqueeze(-3), highest.unsqueeze(-3)
    return lowest + weight * (highest - lowest)
