"""What a view does to frames up to their grey levels: region, channels, size, jitter, crop, mirror.

uint8 all along. N: frames. h, w: as they come.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import resizing, transforms

if TYPE_CHECKING:
    from tubelet.video.view import View


def fitted(view: "View", frames: Tensor) -> Tensor:
    """Whole frames up to the crop: uint8 (N, 3, h, w) -> (N, C, h', w')."""
    frames = shown(view, frames)
    size = fitted_size(view, (frames.shape[-2], frames.shape[-1]))
    return frames if size is None else resized(view, frames, size)


def centred(view: "View", frames: Tensor) -> Tensor:
    """Whole frames up to and with the centre crop, of which nothing else is resized: (N, 3, h, w) -> (N, C, H, W)."""
    frames = shown(view, frames)
    size, crop = fitted_size(view, (frames.shape[-2], frames.shape[-1])), (view.height, view.width)
    if size is None or not view.crop or not holds(size, crop):
        return centre(view, frames if size is None else resized(view, frames, size))
    return resized(view, frames, size, transforms.centre_part(size, crop))


def resized(view: "View", frames: Tensor, size: tuple[int, int], part: resizing.Part | None = None) -> Tensor:
    """By the view's interpolation; see `resizing.resize`."""
    return resizing.resize(frames, size, view.interpolation, part)


def shown(view: "View", frames: Tensor) -> Tensor:
    """The region and the channels that the view shows: uint8 (N, 3, h, w) -> (N, C, h', w')."""
    if view.region is not None:
        frames = transforms.cut_region(frames, view.region)
    if view.channels == 1 and frames.shape[-3] == 3:
        frames = transforms.luma(frames)
    if frames.shape[-3] != view.channels:
        raise ConfigError(
            f"the view shows {view.channels} channels and these frames have {frames.shape[-3]}: give frames of "
            f"{view.channels} channels; a file has three, of which a view shows 3, or 1 of brightness."
        )
    return frames


def shown_size(view: "View", size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the region that the view shows of frames of this (height, width)."""
    if view.region is None:
        return size
    *_, height, width = transforms.region_part(size, view.region)
    return height, width


def fitted_size(view: "View", size: tuple[int, int]) -> tuple[int, int] | None:
    """(height, width) to which frames of this (height, width) are resized before the crop; None: they are not."""
    if view.fit == "none":
        return None
    target = view.size if view.resize is None else view.resize
    if view.fit == "shorter_side":
        side = target if isinstance(target, int) else max(target)
        return transforms.shorter_side_size(*size, side)
    return (target, target) if isinstance(target, int) else target


def holds(size: tuple[int, int], crop: tuple[int, int]) -> bool:
    """Whether a crop fits frames of this size without a border."""
    return size[0] >= crop[0] and size[1] >= crop[1]


def padded(view: "View", frames: Tensor) -> Tensor:
    """With a black border where the view says so and the frames are smaller than the crop."""
    return transforms.pad_to(frames, (view.height, view.width)) if view.pad else frames


def centre(view: "View", frames: Tensor) -> Tensor:
    """The centre crop, if the view crops."""
    return transforms.centre_crop(padded(view, frames), (view.height, view.width)) if view.crop else frames


@dataclass(frozen=True)
class Geometry:
    """What was drawn for a clip: its jitter, its crop and whether it is mirrored."""

    size: tuple[int, int]
    """(height, width) to which fitted frames are resized."""
    part: resizing.Part | None
    """The crop, in these and their black border if they have one; None: there is none."""
    mirrored: bool

    def of_frames(self, view: "View", frames: Tensor) -> Tensor:
        """Of frames as they were decoded: uint8 (N, 3, h, w) -> (N, C, H, W)."""
        frames = shown(view, frames)
        fit = fitted_size(view, (frames.shape[-2], frames.shape[-1]))
        if fit is None or self.part is None or not holds(self.size, self.part[2:]):
            return self.of_fitted(view, frames if fit is None else resized(view, frames, fit))
        frames = resizing.resize_twice(frames, fit, self.size, view.interpolation, self.part)
        return frames.flip(-1) if self.mirrored else frames

    def of_fitted(self, view: "View", frames: Tensor) -> Tensor:
        """Of whole frames up to the jitter: uint8 (N, C, h', w') -> (N, C, H, W)."""
        if self.part is not None and holds(self.size, self.part[2:]):
            frames = resized(view, frames, self.size, self.part)
        else:
            frames = resized(view, frames, self.size)
            if self.part is not None:
                top, left, *crop = self.part
                frames = transforms.crop(padded(view, frames), top, left, (crop[0], crop[1]))
        return frames.flip(-1) if self.mirrored else frames


def draw_geometry(view: "View", size: tuple[int, int], generator: torch.Generator) -> Geometry:
    """Jitter, crop and mirror, at random, for frames of this (height, width) as `shown` leaves them."""
    size, crop = fitted_size(view, size) or size, (view.height, view.width)
    if view.jitter is not None:
        size = transforms.rescaled_size(*size, transforms.draw_factors(view.jitter, generator))
    part = None
    if view.crop:
        room = (max(size[0], crop[0]), max(size[1], crop[1])) if view.pad else size
        part = transforms.draw_part(room, crop, generator)
    return Geometry(size, part, view.flip and transforms.draw_flip(generator))
