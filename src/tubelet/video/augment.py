"""RandAugment, colour and random erasing: what training may do to a clip beside moving and mirroring it.

Every function does the same to all frames of its clip; what is random is drawn from a generator that the caller
gives. The arithmetic is that of the official input pipeline (Scenic's video operations and DMVR's colour), which is
not torchvision's: saturation scales S in HSV instead of blending with grey, and the operations of RandAugment that
look at more than one pixel (histograms, a filter) see the clip as one tall picture, its frames below one another.

Legend: F frames, C channels, H W pixels, B clips.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

OperationSet = Literal["official", "corrected"]

GREY = (0.2989, 0.5870, 0.1140)
"""Weights of red, green and blue in the official grey; they add up to 0.9999."""

OPERATIONS = (
    "identity", "autocontrast", "equalize", "invert", "posterize", "solarize", "colour", "contrast", "brightness",
    "sharpness", "cutout", "solarize_add",
)  # fmt: skip
"""Of RandAugment. Each layer applies one of them, all equally likely."""


def rand_augment(
    clip: Tensor, layers: int, magnitude: float, generator: torch.Generator, kind: OperationSet = "official"
) -> Tensor:
    """RandAugment (Cubuk et al. 2020) with one choice of operations for all frames of a clip.

    Args:
        clip: uint8 (F, 3, H, W).
        layers: operations that are applied, one after the other.
        magnitude: how strong each is; 10 is the end of the scale that the operations were made for, and the
            official recipes use 15 and 20.
        generator: draws the operations and the place of a cutout.
        kind: `"official"`, or `"corrected"`, which differs in two operations: see `operate`.

    Returns:
        uint8 (F, 3, H, W).
    """
    for choice in torch.randint(len(OPERATIONS), (layers,), generator=generator).tolist():
        place = torch.rand(2, generator=generator).tolist()
        centre = int(place[0] * clip.shape[-2]), int(place[1] * clip.shape[-1])
        clip = operate(clip, OPERATIONS[choice], magnitude, centre, kind)
    return clip


def operate(
    clip: Tensor, operation: str, magnitude: float, centre: tuple[int, int], kind: OperationSet = "official"
) -> Tensor:
    """One operation of RandAugment.

    Two official operations are not what their names say. Solarize inverts what is not below a threshold that is
    cut to 8 bits: 384 (magnitude 15) is 128, and 512 (magnitude 20) is 0, which inverts everything. Contrast moves
    away from min(255, pixels / 256), which is white for any clip larger than 255 * 256 pixels, instead of away
    from the mean brightness. `kind="corrected"` cuts neither, so that Solarize above magnitude 10 inverts nothing.

    Args:
        clip: uint8 (F, 3, H, W).
        operation: one of `OPERATIONS`.
        magnitude: as for `rand_augment`.
        centre: (row, column) of a cutout.
        kind: as for `rand_augment`.
    """
    level = magnitude / 10
    enhance = level * 1.8 + 0.1
    threshold = int(level * 256)
    match operation:
        case "autocontrast":
            return autocontrast(clip)
        case "equalize":
            return equalize(clip)
        case "invert":
            return 255 - clip
        case "posterize":
            shift = max(8 - int(level * 4), 0)
            return clip >> shift << shift
        case "solarize":
            return solarize(clip, threshold % 256 if kind == "official" else threshold)
        case "colour":
            return blend(grey_levels(clip).expand_as(clip), clip, enhance)
        case "contrast":
            return blend(contrast_level(clip, kind), clip, enhance)
        case "brightness":
            return blend(torch.zeros_like(clip), clip, enhance)
        case "sharpness":
            return blend(smoothed(clip), clip, enhance)
        case "cutout":
            return cutout(clip, centre, int(level * 40))
        case "solarize_add":
            added = (clip.int() + int(level * 110)).clamp(0, 255).to(torch.uint8)
            return torch.where(clip < 128, added, clip)
        case _:
            assert operation == "identity", operation
            return clip


def blend(away: Tensor, clip: Tensor, factor: float) -> Tensor:
    """From `away` (factor 0) to `clip` (1) and beyond, cut to uint8."""
    if factor == 1.0:
        return clip
    start = away.float()
    return (start + factor * (clip.float() - start)).clamp(0, 255).to(torch.uint8)


def grey_levels(clip: Tensor) -> Tensor:
    """Brightness of uint8 RGB as the official code rounds it: (F, 3, H, W) -> uint8 (F, 1, H, W)."""
    red, green, blue = (clip.float() * (1 / 255)).unbind(-3)
    grey = red * GREY[0] + green * GREY[1] + blue * GREY[2]
    return (grey * 255.5).to(torch.uint8).unsqueeze(-3)


def contrast_level(clip: Tensor, kind: OperationSet) -> Tensor:
    """The one grey level that contrast moves away from, as a clip."""
    grey = grey_levels(clip)
    level = min(grey.numel() / 256, 255.0) if kind == "official" else float(grey.float().mean())
    return torch.full_like(clip, int(level))


def solarize(clip: Tensor, threshold: int) -> Tensor:
    """Invert what is not below the threshold."""
    return torch.where(clip.int() < threshold, clip, 255 - clip)


def autocontrast(clip: Tensor) -> Tensor:
    """Stretch each channel so that its darkest pixel in the clip is 0 and its brightest 255."""
    low, high = (
        edge.float() for edge in (clip.amin((0, 2, 3), keepdim=True), clip.amax((0, 2, 3), keepdim=True))
    )
    scale = 255 / (high - low)
    stretched = (clip.float() * scale - low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, clip)


def equalize(clip: Tensor) -> Tensor:
    """Make the histogram of each channel over the whole clip as flat as a table of levels can."""
    channels: list[Tensor] = []
    for channel in clip.unbind(1):
        counts = torch.bincount(channel.flatten().int(), minlength=256)
        step = int(counts.sum() - counts[counts.nonzero()[-1]]) // 255
        if step == 0:
            channels.append(channel)
            continue
        table = (counts.cumsum(0) + step // 2) // step
        table = torch.cat((table.new_zeros(1), table[:-1])).clamp(0, 255).to(torch.uint8)
        channels.append(table[channel.int()])
    return torch.stack(channels, dim=1)


def smoothed(clip: Tensor) -> Tensor:
    """A 3x3 mean with a heavy centre, over the clip as one tall picture; the picture's border stays as it is."""
    frames, channels, height, width = clip.shape
    tall = clip.transpose(0, 1).reshape(channels, 1, frames * height, width)
    kernel = torch.ones(1, 1, 3, 3, device=clip.device)
    kernel[..., 1, 1] = 5
    result = tall.clone()
    if min(tall.shape[-2:]) >= 3:
        result[..., 1:-1, 1:-1] = F.conv2d(tall.float(), kernel / 13).clamp(0, 255).to(torch.uint8)
    return result.reshape(channels, frames, height, width).transpose(0, 1)


def cutout(clip: Tensor, centre: tuple[int, int], pad: int) -> Tensor:
    """Black from `pad` pixels above and left of the centre to `pad` below and right, at one place in all frames."""
    rows, columns = ((max(c - pad, 0), c + pad) for c in centre)
    clip = clip.clone()
    clip[..., rows[0] : rows[1], columns[0] : columns[1]] = 0
    return clip


def erase(clip: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al. 2020, with random values): noise over one rectangle, the same in all frames.

    The rectangle has 2 % to 33 % of the frame and a ratio of its sides of 0.3 to 3.3; one that does not fit the
    frame is drawn again, ten times at most.

    Args:
        clip: uint8 (F, C, H, W).
        probability: of erasing at all.
        generator: draws everything.
    """
    if float(torch.rand((), generator=generator)) >= probability:
        return clip
    channels, rows, columns = clip.shape[-3:]
    for _ in range(10):
        share, ratio, top, left = torch.rand(4, generator=generator).tolist()
        area = (0.02 + share * (0.33 - 0.02)) * rows * columns
        side = math.exp(math.log(0.3) + ratio * (math.log(3.3) - math.log(0.3)))
        height, width = max(round(math.sqrt(area * side)), 1), max(round(math.sqrt(area / side)), 1)
        if height <= rows and width <= columns:
            first, second = int(top * (rows - height + 1)), int(left * (columns - width + 1))
            noise = torch.randint(256, (channels, height, width), generator=generator, dtype=torch.uint8)
            clip = clip.clone()
            clip[..., first : first + height, second : second + width] = noise
            return clip
    return clip
