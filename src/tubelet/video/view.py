"""`View`: how a model looks at a video, from the choice of frames to the range of the values."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import colour, geometry, look, transforms
from tubelet.video.augment import OperationSet
from tubelet.video.checks import Answers, Fit, Sampling, check_view
from tubelet.video.clips import Short
from tubelet.video.look import Frames, TrainingClips, Views, Window
from tubelet.video.processor import read_processor
from tubelet.video.resizing import Interpolation

__all__ = ["Frames", "TrainingClips", "View", "Views", "Window"]


@dataclass(frozen=True, kw_only=True)
class View:
    """How a model must look at a video. Part of a `Classifier`, saved with its weights.

    Order of work: choose frames, cut `region` out, `channels`, `fit` to `resize`, [scale `jitter`], crop to `size`,
    [`flip`, `rand_augment`, `erase`], values, [`colour`]. What is in brackets happens in training only, and cropping
    is random there; whatever is random is the same in all frames of a clip.

    Raises:
        ConfigError: where fields make no sense, alone or together.
    """

    frames: int
    """F, frames of a clip."""
    stride: int | None = None
    """Take every `stride`-th frame. Exactly one of `stride`, `frames_per_second` and `uniform` is given."""
    frames_per_second: float | None = None
    """Take the frames shown at this fixed rate, whatever the video's own rate is, variable rates included."""
    uniform: bool = False
    """Spread the frames evenly over the whole video, however long it is."""
    short: Short = "loop"
    """A video shorter than a clip: `"loop"` from its first frame (official), `"hold"` its last frame, `"refuse"`.
    With `uniform`, frames repeat themselves unless refused."""
    size: int | tuple[int, int]
    """Pixels of a frame as the model takes it: the side of a square, or (height, width)."""
    fit: Fit = "shorter_side"
    """`"shorter_side"` brings the shorter side to `resize` and keeps the shape, `"squash"` makes every frame
    `resize` whatever its shape, `"none"` leaves the pixels as they are."""
    resize: int | tuple[int, int] | None = None
    """Pixels before cropping: of the shorter side, or (height, width) for `"squash"`. None: as `size`."""
    crop: bool = True
    """Crop to `size`. False: keep what `fit` makes; `size` then only says what the model was built for."""
    pad: bool = False
    """Give frames smaller than `size` a black border. False: they are an error."""
    interpolation: Interpolation = "bilinear"
    """How to resize; see `resizing.resize`. The default is the official one, without antialiasing."""
    region: tuple[float, float, float, float] | None = None
    """Look only at this part of the frame: (top, left, bottom, right) in fractions of height and width."""
    channels: int = 3
    """3 for RGB, 1 for brightness only. Any other number is for `Frames` that have as many: files have three."""
    value_range: tuple[float, float] | None = None
    """What grey levels 0 and 255 become. Exactly one of `value_range` and `mean` with `std` is given."""
    mean: tuple[float, ...] | None = None
    """Per channel, for values in [0, 1]: (x - mean) / std."""
    std: tuple[float, ...] | None = None
    """Per channel, for values in [0, 1]."""
    views: str = "1x1"
    """Test views where nothing else is asked for, clips x crops; the paper's are "4x3" (section 4.1)."""
    answers: Answers = "video"
    """`"video"`: one answer, averaged over views. `"window"`: one for each of consecutive windows."""
    hop: int | None = None
    """From one window to the next, in frames of a clip. None: `frames`, so that windows neither overlap nor miss."""
    jitter: tuple[float, float] | None = None
    """Training: factors (min, max) by which height and width are scaled, independently, before the crop."""
    trim: float = 0.0
    """Training, with `uniform`: up to this share of the video is left out at its beginning, and at its end, drawn for
    each clip. It moves the borders of an action, and its speed."""
    flip: bool = False
    """Training: mirror left and right half of the time. Wrong where left and right are in the labels."""
    rand_augment: tuple[int, float] | None = None
    """Training: (layers, magnitude) of RandAugment; officially (2, 15) for EPIC-Kitchens, (2, 20) for Something."""
    rand_augment_set: OperationSet = "official"
    """Training: `"corrected"` mends two of RandAugment's official operations: see `augment.operate`."""
    erase: float = 0.0
    """Training: probability of noise over one rectangle (random erasing); not in the paper."""
    colour: tuple[float, float] | None = None
    """Training: probabilities (of a colour jitter, of a grey clip); officially (0.8, 0.1) for Kinetics."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_view(self)

    @property
    def sampling(self) -> Sampling:
        """How frames are chosen: by stride, at a fixed rate, or uniformly over the video."""
        return "uniform" if self.uniform else "stride" if self.stride is not None else "rate"

    @property
    def height(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @classmethod
    def scenic(
        cls,
        *,
        frames: int = 32,
        stride: int | None = None,
        frames_per_second: float | None = None,
        uniform: bool = False,
        size: int | tuple[int, int] = 224,
        resize: int = 256,
        jitter: tuple[float, float] | None = (0.9, 1.33),
        flip: bool = True,
    ) -> Self:
        """The official view: [-1, 1], shorter side to `resize`, crop to `size`, stride 2 if nothing else is said."""
        return cls(
            frames=frames,
            stride=_default_stride(stride, frames_per_second, uniform),
            frames_per_second=frames_per_second,
            uniform=uniform,
            size=size,
            resize=resize,
            value_range=(-1.0, 1.0),
            views="4x3",
            jitter=jitter,
            flip=flip,
        )

    @classmethod
    def image(
        cls,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        size: int | tuple[int, int] = 224,
        resize: int | None = None,
        frames: int = 32,
        stride: int | None = None,
        frames_per_second: float | None = None,
        uniform: bool = False,
        jitter: tuple[float, float] | None = (0.9, 1.33),
        flip: bool = True,
    ) -> Self:
        """The official geometry with the mean and deviation that an image ViT was trained with.

        Mean and deviation are those of each channel, in [0, 1]. `resize` is by default 8/7 of the crop's shorter
        side, as 256 for 224, and stride 2 if nothing else is said; the rest is as the fields.
        """
        return cls(
            frames=frames,
            stride=_default_stride(stride, frames_per_second, uniform),
            frames_per_second=frames_per_second,
            uniform=uniform,
            size=size,
            resize=round((size if isinstance(size, int) else min(size)) * 8 / 7)
            if resize is None
            else resize,
            mean=mean,
            std=std,
            jitter=jitter,
            flip=flip,
        )

    @classmethod
    def huggingface(
        cls,
        preprocessor_config: Mapping[str, object],
        *,
        frames: int = 32,
        stride: int | None = None,
        frames_per_second: float | None = None,
        uniform: bool = False,
        jitter: tuple[float, float] | None = None,
        flip: bool = False,
    ) -> Self:
        """What transformers' `VivitImageProcessor` (the Pillow one) does with this configuration.

        The processor does not choose frames, so that is said here, as by the fields; stride 2 if nothing else is. A
        `VivitVideoProcessor` resizes with torchvision and ignores `offset: false`; it is not what is followed.
        `preprocessor_config` is the parsed `preprocessor_config.json`; what it leaves out is the processor's default.

        Raises:
            ConfigError: where the configuration is not one that the processor takes.

        Warns:
            UserWarning: where the values come out in [-3, 1], because they are brought to [-1, 1] first and then
                normalised with mean and deviation 0.5. The official weights expect [-1, 1].
        """
        found = read_processor(preprocessor_config)
        if found.value_range is not None and np.allclose(found.value_range, (-3.0, 1.0), atol=1e-6):
            warnings.warn(
                "This processor brings pixels to [-3, 1]: it rescales with offset to [-1, 1] and then normalises "
                "with mean 0.5 and std 0.5. The official ViViT weights were trained on [-1, 1]. Followed as written; "
                "if the weights are official ones, use dataclasses.replace(view, value_range=(-1.0, 1.0)).",
                UserWarning,
                stacklevel=2,
            )
        return cls(
            frames=frames,
            stride=_default_stride(stride, frames_per_second, uniform),
            frames_per_second=frames_per_second,
            uniform=uniform,
            size=found.size,
            fit=found.fit,
            resize=found.resize,
            crop=found.crop,
            pad=found.crop,
            interpolation=found.interpolation,
            value_range=found.value_range,
            mean=found.mean,
            std=found.std,
            jitter=jitter,
            flip=flip,
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Fields may be left out where they have a default.

        Raises:
            ConfigError: for a name that is no field, or a value that makes no sense.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(
                f"a View has no {', '.join(unknown)}; its fields are {', '.join(sorted(known))}."
            )
        if missing := sorted({"frames", "size"} - set(values)):
            raise ConfigError(f"a View needs {' and '.join(missing)}, which this one does not have.")
        plain: dict[str, Any] = {
            k: tuple(cast("list[Any]", v)) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)

    def test_indices(
        self, length: int, clock: float | NDArray[np.float64] | None = None, clips: int = 1
    ) -> NDArray[np.int64]:
        """The frames of test clips.

        Args:
            length: L, frames of the video.
            clock: Frames per second of the video, or the (L,) seconds at which its frames appear. Needed only
                where `frames_per_second` is set.
            clips: T. One is the middle of the video (as in the official validation); more are spread evenly over it,
                from its first frame to its end.

        Returns:
            (T, F) indices in [0, L).

        Raises:
            ConfigError: for no clips, no frames, no clock where one is needed, or a short video with
                `short="refuse"`.
        """
        return look.test_clips(self, look.clock_of(self, length, clock), length, clips)

    def train_indices(
        self, length: int, clock: float | NDArray[np.float64] | None, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """(F,) the frames of a random training clip; arguments and errors as for `test_indices`."""
        return look.train_clip(self, look.clock_of(self, length, clock), length, generator)

    def test(self, video: Frames, views: str | tuple[int, int] | None = None) -> Views:
        """The test views of a video, each distinct frame decoded once.

        Args:
            video: The video.
            views: Clips x crops: "4x3" or (4, 3) is four clips in three crops each. One crop is the centre.
                None: the field `views`.

        Returns:
            V = clips * crops looks; `pixels` is float32.

        Raises:
            ConfigError: for views that cannot be, frames that the crop does not fit, or a short video with
                `short="refuse"`.
        """
        looks = self.test_uint8(video, views)
        return Views(pixels=self.normalise(looks.pixels), indices=looks.indices)

    def test_uint8(self, video: Frames, views: str | tuple[int, int] | None = None) -> Views:
        """As `test`, before the value step: `pixels` is uint8, a quarter of the memory."""
        return look.test_views(self, video, views or self.views)

    def windows(self, video: Frames) -> Iterator[Window]:
        """Consecutive windows of a video in order, one in memory at a time.

        The last one is aligned to the video's end, where it overlaps the one before; a video shorter than a window
        has one, by the `short` policy. `pixels` is float32.

        Raises:
            ConfigError: as for `test`, and with `uniform`.
        """
        for window in self.windows_uint8(video):
            yield replace(window, pixels=self.normalise(window.pixels))

    def windows_uint8(self, video: Frames) -> Iterator[Window]:
        """As `windows`, before the value step: `pixels` is uint8, a quarter of the memory."""
        return look.windows_of(self, video)

    def train(self, video: Frames, generator: torch.Generator) -> Tensor:
        """A random clip as a model learns from it: float32 (F, C, H, W).

        Args:
            video: The video.
            generator: Draws everything; one draw for all frames of the clip.

        Raises:
            ConfigError: as for `test`.
        """
        clips = self.train_clips(video, generator)
        return self.finish(clips.pixels, clips.colour)[0]

    def train_uint8(self, video: Frames, generator: torch.Generator) -> Tensor:
        """As `train`, before the value step and `colour`, which comes after it: uint8 (F, C, H, W)."""
        return self.train_clips(video, generator).pixels[0]

    def train_clips(self, video: Frames, generator: torch.Generator, count: int = 1) -> TrainingClips:
        """Random clips before the value step, with all that `finish` needs; each distinct frame is decoded once."""
        return look.train_clips(self, video, generator, count)

    def finish(self, pixels: Tensor, drawn: Tensor | None = None) -> Tensor:
        """The value step, then colours as drawn: uint8 (B, F, C, H, W) -> float32, on the device of the pixels.

        Args:
            pixels: Clips, such as `TrainingClips.pixels`.
            drawn: (B, 6) of `TrainingClips.colour`, or None.
        """
        if drawn is None:
            return self.normalise(pixels)
        if self.value_range is not None:
            return colour.apply(self.normalise(pixels), drawn, *self.value_range)
        return self._standardise(colour.apply(transforms.to_range(pixels, 0, 1), drawn) * 255)

    def prepare(self, frames: Tensor) -> Tensor:
        """Whole frames as the model sees them, before the value step, with the centre crop.

        Args:
            frames: uint8 (N, 3, h, w), or of as many channels as the view.

        Returns:
            uint8 (N, C, H, W).
        """
        return geometry.centred(self, frames).contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """The value step only: uint8 (..., C, H, W) -> float32 of the same shape, on the same device."""
        if self.value_range is not None:
            return transforms.to_range(pixels, *self.value_range)
        return self._standardise(pixels)

    def _standardise(self, pixels: Tensor) -> Tensor:
        assert self.mean is not None
        assert self.std is not None
        return transforms.standardise(pixels, self.mean, self.std)


def _default_stride(stride: int | None, frames_per_second: float | None, uniform: bool) -> int | None:
    return 2 if stride is None and frames_per_second is None and not uniform else stride
