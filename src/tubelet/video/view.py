"""`View`: how a model looks at a video, from the choice of frames to the range of the values."""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol, Self, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import clips, transforms
from tubelet.video.clips import Short
from tubelet.video.processor import read_processor
from tubelet.video.transforms import Interpolation

Fit = Literal["shorter_side", "squash", "none"]
Sampling = Literal["stride", "rate", "uniform"]
Answers = Literal["video", "window"]

# Decoded frames wait in memory before they are made small; no more than this many bytes of them at a time.
_DECODED_BYTES = 256 * 2**20


class Frames(Protocol):
    """What a `View` needs of a video; `tubelet.video.decode.Video` is one."""

    @property
    def height(self) -> int:
        """Pixels."""
        ...

    @property
    def width(self) -> int:
        """Pixels."""
        ...

    @property
    def duration_seconds(self) -> float:
        """From the first frame's appearance to the last frame's end."""
        ...

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(L,) seconds at which each frame appears; the first is 0."""
        ...

    def __len__(self) -> int:
        """L, the number of frames."""
        ...

    def frames(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 (N, 3, H, W): these frames, in this order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """Several looks at one video: T clips, each in one or three crops, V = crops * T."""

    pixels: Tensor
    """(V, F, C, H, W), all clips of the first crop, then of the second, then of the third (the official order)."""
    indices: NDArray[np.int64]
    """(T, F) the frames of each clip."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One window of a long video."""

    start_seconds: float
    """When its first frame appears."""
    end_seconds: float
    """When the next window begins if windows follow one another, at most the video's end."""
    indices: NDArray[np.int64]
    """(F,)."""
    pixels: Tensor
    """float32 (F, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How a model must look at a video. Part of a `Classifier`, saved with its weights.

    Order of work: choose frames, cut `region` out, `channels`, `fit` to `resize`, [scale `jitter`], crop to `size`,
    [`flip`], values. What is in brackets happens in training only, and cropping is random there.

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
    """How to resize; see `transforms.resize`. The default is the official one, without antialiasing."""
    region: tuple[float, float, float, float] | None = None
    """Look only at this part of the frame: (top, left, bottom, right) in fractions of height and width."""
    channels: Literal[1, 3] = 3
    """3 for RGB, 1 for brightness only."""
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
    flip: bool = False
    """Training: mirror left and right half of the time. Wrong where left and right are in the labels."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        _check_frames(self)
        _check_geometry(self)
        _check_values(self)
        if _parse_views(self.views)[1] == 3 and not self.crop:
            raise ConfigError(f"views={self.views!r} are three crops, and crop=False shows the whole frame.")

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

        Args:
            mean: Per channel, in [0, 1].
            std: Per channel, in [0, 1].
            size: Side of the crop, or (height, width).
            resize: Shorter side before it. None: 8/7 of the crop's, as 256 for 224.
            frames: As the field.
            stride: As the field; 2 if nothing else is said.
            frames_per_second: As the field.
            uniform: As the field.
            jitter: As the field.
            flip: As the field.
        """
        return cls(
            frames=frames,
            stride=_default_stride(stride, frames_per_second, uniform),
            frames_per_second=frames_per_second,
            uniform=uniform,
            size=size,
            resize=round(np.min(size) * 8 / 7) if resize is None else resize,
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

        The processor does not choose frames, so that is said here; stride 2 if nothing else is. A
        `VivitVideoProcessor` resizes with torchvision and ignores `offset: false`; it is not what is followed.

        Args:
            preprocessor_config: The parsed `preprocessor_config.json`; what it leaves out is the processor's default.
            frames: As the field.
            stride: As the field.
            frames_per_second: As the field.
            uniform: As the field.
            jitter: As the field.
            flip: As the field.

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
        return self._test_indices(self._clock(length, clock), length, clips)

    def train_indices(
        self, length: int, clock: float | NDArray[np.float64] | None, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """(F,) the frames of a random training clip; arguments and errors as for `test_indices`."""
        return self._train_indices(self._clock(length, clock), length, generator)

    def test(self, video: Frames, views: str | tuple[int, int] = "4x3") -> Views:
        """The test views of a video, each distinct frame decoded once.

        Args:
            video: The video.
            views: Clips x crops: "4x3" or (4, 3) is four clips in three crops each. One crop is the centre.

        Returns:
            V = clips * crops looks; `pixels` is float32.

        Raises:
            ConfigError: for views that cannot be, frames that the crop does not fit, or a short video with
                `short="refuse"`.
        """
        looks = self.test_uint8(video, views)
        return Views(pixels=self.normalise(looks.pixels), indices=looks.indices)

    def test_uint8(self, video: Frames, views: str | tuple[int, int] = "4x3") -> Views:
        """As `test`, before the value step: `pixels` is uint8, a quarter of the memory."""
        count, crops = _parse_views(views)
        if crops == 3 and not self.crop:
            raise ConfigError(
                "a View with crop=False shows the whole frame; ask for one crop, such as '4x1'."
            )
        indices = self._test_indices(self._video_clock(video), len(video), count)
        fitted, place = self._load(video, indices)
        if crops == 3:
            pieces = transforms.three_crops(self._padded(fitted), (self.height, self.width))
        else:
            pieces = (self._centre(fitted),)
        return Views(pixels=torch.cat([piece[place] for piece in pieces]), indices=indices)

    def windows(self, video: Frames) -> Iterator[Window]:
        """Consecutive windows of a video in order, one in memory at a time.

        The last one is aligned to the video's end, where it overlaps the one before; a video shorter than a window
        has one, by the `short` policy.

        Raises:
            ConfigError: as for `test`, and with `uniform`.
        """
        if self.uniform:
            raise ConfigError(
                "uniform=True looks at a whole video at once; windows need stride or frames_per_second."
            )
        clock = self._video_clock(video)
        assert clock is not None
        seconds = _edges(video)
        ready: dict[int, Tensor] = {}
        for start in clips.window_starts(clock, self.frames, self.hop or self.frames).tolist():
            indices = clips.clip(clock, start, self.frames, self.short)
            wanted = np.unique(indices)
            fresh = np.array([i for i in wanted.tolist() if i not in ready], dtype=np.int64)
            ready = {i: frame for i, frame in ready.items() if i in wanted}
            if len(fresh):
                ready |= dict(zip(fresh.tolist(), self.prepare(video.frames(fresh)), strict=True))
            end = float(clock.edges[start]) + self.frames * clock.step
            if self.stride is not None:
                end = float(seconds[min(round(end), len(video))])
            yield Window(
                start_seconds=float(seconds[start]),
                end_seconds=min(end, float(seconds[-1])),
                indices=indices,
                pixels=self.normalise(torch.stack([ready[i] for i in indices.tolist()])),
            )

    def train(self, video: Frames, generator: torch.Generator) -> Tensor:
        """A random clip with scale jitter, random crop and flip: float32 (F, C, H, W).

        Args:
            video: The video.
            generator: Draws everything; one draw for all frames of the clip.

        Raises:
            ConfigError: as for `test`.
        """
        return self.normalise(self.train_uint8(video, generator))

    def train_uint8(self, video: Frames, generator: torch.Generator) -> Tensor:
        """As `train`, before the value step: uint8 (F, C, H, W), for `normalise` on the device."""
        indices = self._train_indices(self._video_clock(video), len(video), generator)
        fitted, place = self._load(video, indices)
        if self.jitter is not None:
            fitted = transforms.jitter_scale(fitted, self.jitter, generator, self.interpolation)
        if self.crop:
            fitted = transforms.random_crop(self._padded(fitted), (self.height, self.width), generator)
        if self.flip:
            fitted = transforms.random_flip(fitted, generator)
        return fitted[place].contiguous()

    def prepare(self, frames: Tensor) -> Tensor:
        """Whole frames as the model sees them, before the value step, with the centre crop.

        Args:
            frames: uint8 (N, 3, h, w).

        Returns:
            uint8 (N, C, H, W).
        """
        return self._centre(self._fitted(frames)).contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """The value step only: uint8 (..., C, H, W) -> float32 of the same shape, on the same device."""
        if self.value_range is not None:
            return transforms.to_range(pixels, *self.value_range)
        assert self.mean is not None
        assert self.std is not None
        return transforms.standardise(pixels, self.mean, self.std)

    def _clock(self, length: int, clock: float | NDArray[np.float64] | None) -> clips.Clock | None:
        if self.uniform:
            return None
        if self.stride is not None:
            return clips.Clock.stride(length, self.stride)
        if clock is None or self.frames_per_second is None:
            raise ConfigError("frames_per_second needs the video's frame rate or timestamps; give `clock`.")
        return clips.Clock.rate(clips.frame_edges(length, clock), self.frames_per_second)

    def _video_clock(self, video: Frames) -> clips.Clock | None:
        if self.frames_per_second is not None:
            return clips.Clock.rate(_edges(video), self.frames_per_second)
        return self._clock(len(video), None)

    def _test_indices(self, clock: clips.Clock | None, length: int, count: int) -> NDArray[np.int64]:
        if count < 1:
            raise ConfigError(f"{count} test clips; there must be at least one.")
        if clock is None:
            phases = [(t + 0.5) / count for t in range(count)]
            return np.stack([clips.uniform_clip(length, self.frames, phase, self.short) for phase in phases])
        if count == 1:
            starts = [clips.middle_start(clock, self.frames)]
        else:
            starts = clips.even_starts(clock, self.frames, count).tolist()
        return np.stack([clips.clip(clock, start, self.frames, self.short) for start in starts])

    def _train_indices(
        self, clock: clips.Clock | None, length: int, generator: torch.Generator
    ) -> NDArray[np.int64]:
        if clock is None:
            phase = float(torch.rand((), generator=generator, dtype=torch.float64))
            return clips.uniform_clip(length, self.frames, phase, self.short)
        return clips.clip(clock, clips.draw_start(clock, self.frames, generator), self.frames, self.short)

    def _load(self, video: Frames, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The distinct frames, fitted, uint8 (N, C, h, w); and which of them stands at each place of `indices`."""
        distinct, place = np.unique(indices, return_inverse=True)
        at_once = max(_DECODED_BYTES // (3 * video.height * video.width), 1)
        parts = [
            self._fitted(video.frames(distinct[i : i + at_once])) for i in range(0, len(distinct), at_once)
        ]
        return torch.cat(parts), torch.from_numpy(place.reshape(indices.shape))

    def _fitted(self, frames: Tensor) -> Tensor:
        if self.region is not None:
            frames = transforms.cut_region(frames, self.region)
        if self.channels == 1 and frames.shape[-3] == 3:
            frames = transforms.luma(frames)
        if self.fit == "none":
            return frames
        target = self.size if self.resize is None else self.resize
        if self.fit == "shorter_side":
            side = target if isinstance(target, int) else max(target)
            target = transforms.shorter_side_size(frames.shape[-2], frames.shape[-1], side)
        elif isinstance(target, int):
            target = (target, target)
        return transforms.resize(frames, target, self.interpolation)

    def _padded(self, frames: Tensor) -> Tensor:
        return transforms.pad_to(frames, (self.height, self.width)) if self.pad else frames

    def _centre(self, frames: Tensor) -> Tensor:
        return (
            transforms.centre_crop(self._padded(frames), (self.height, self.width)) if self.crop else frames
        )


def _edges(video: Frames) -> NDArray[np.float64]:
    return clips.frame_edges(len(video), video.timestamps, end_seconds=video.duration_seconds)


def _default_stride(stride: int | None, frames_per_second: float | None, uniform: bool) -> int | None:
    return 2 if stride is None and frames_per_second is None and not uniform else stride


def _parse_views(views: str | tuple[int, int]) -> tuple[int, int]:
    parts: tuple[object, ...] = tuple(views.split("x")) if isinstance(views, str) else tuple(views)
    if isinstance(views, str) and all(isinstance(p, str) and p.isdecimal() for p in parts):
        parts = tuple(int(str(p)) for p in parts)
    if len(parts) == 2:
        count, crops = parts
        if isinstance(count, int) and isinstance(crops, int) and count >= 1 and crops in (1, 3):
            return count, crops
    raise ConfigError(
        f"views {views!r}; say clips x crops, such as '4x3' or (4, 1), with one or three crops."
    )


def _check_frames(view: View) -> None:
    _whole(view.frames, "frames")
    chosen = [view.stride is not None, view.frames_per_second is not None, bool(view.uniform)]
    if sum(chosen) != 1:
        raise ConfigError(
            f"stride={view.stride}, frames_per_second={view.frames_per_second}, uniform={view.uniform}: "
            "exactly one must say how frames are chosen, such as stride=2."
        )
    if view.stride is not None:
        _whole(view.stride, "stride")
    if view.frames_per_second is not None and not (
        _is_number(view.frames_per_second) and view.frames_per_second > 0
    ):
        raise ConfigError(f"frames_per_second={view.frames_per_second!r}; it must be a positive number.")
    _choice(view.short, Short, "short")
    _choice(view.answers, Answers, "answers")
    if view.hop is not None:
        _whole(view.hop, "hop")
    if view.uniform and (view.hop is not None or view.answers == "window"):
        raise ConfigError(
            "uniform=True looks at a whole video at once and has no windows; "
            'leave hop out and say answers="video", or choose frames by stride or frames_per_second.'
        )


def _check_geometry(view: View) -> None:
    _choice(view.fit, Fit, "fit")
    _choice(view.interpolation, Interpolation, "interpolation")
    _pixels(view.size, "size")
    for name in ("uniform", "crop", "pad", "flip"):
        if not isinstance(getattr(view, name), bool):
            raise ConfigError(f"{name}={getattr(view, name)!r}; it must be True or False.")
    if view.resize is not None:
        _pixels(view.resize, "resize")
        if view.fit == "none" or (view.fit == "shorter_side" and not isinstance(view.resize, int)):
            raise ConfigError(
                f'resize={view.resize} with fit="{view.fit}": "shorter_side" takes one number, "squash" also '
                '(height, width), and "none" does not resize.'
            )
    if view.region is not None:
        top, left, bottom, right = _numbers(view.region, 4, "region")
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise ConfigError(
                f"region={view.region}; it is (top, left, bottom, right) in fractions of the frame, "
                "0 <= top < bottom <= 1 and 0 <= left < right <= 1."
            )
    if view.jitter is not None:
        low, high = _numbers(view.jitter, 2, "jitter")
        if not 0 < low <= high:
            raise ConfigError(
                f"jitter={view.jitter}; it is (min, max) with 0 < min <= max, such as (0.9, 1.33)."
            )
        if not view.crop:
            raise ConfigError("jitter changes the size of frames, so it needs crop=True.")
    _check_crop_fits(view)


def _check_crop_fits(view: View) -> None:
    """Refuse a crop that no frame, or not every jittered frame, is large enough for."""
    if not view.crop or view.pad or view.fit == "none":
        return
    size = (view.height, view.width)
    target = view.resize if view.resize is not None else view.size
    # A shorter side bounds both sides from below, but a wide crop may still fit wide frames: only its shorter side
    # can be refused before a video is seen.
    if view.fit == "shorter_side":
        given, wanted = (target if isinstance(target, int) else max(target),), (min(size),)
    else:
        given, wanted = (target, target) if isinstance(target, int) else target, size
    low = view.jitter[0] if view.jitter is not None else 1.0
    if any(int(np.float32(g) * np.float32(low)) < w for g, w in zip(given, wanted, strict=True)):
        after = f" scaled by jitter {low}" if view.jitter is not None else ""
        raise ConfigError(
            f"resize={view.resize}{after} is smaller than the crop of size={view.size}; "
            "resize larger, crop smaller, jitter less, or say pad=True for a black border."
        )


def _check_values(view: View) -> None:
    if view.channels not in (1, 3):
        raise ConfigError(f"channels={view.channels!r}; 3 is RGB and 1 is brightness.")
    by_range, by_mean = view.value_range is not None, (view.mean is not None or view.std is not None)
    if by_range == by_mean or (view.mean is None) != (view.std is None):
        raise ConfigError(
            f"value_range={view.value_range}, mean={view.mean}, std={view.std}: give either value_range, "
            "such as (-1.0, 1.0), or both mean and std."
        )
    if view.value_range is not None:
        low, high = _numbers(view.value_range, 2, "value_range")
        if low == high:
            raise ConfigError(f"value_range={view.value_range} makes every pixel the same.")
    if view.mean is not None and view.std is not None:
        count = len(view.mean) if len(view.mean) == 1 else view.channels
        _numbers(view.mean, count, "mean")
        if 0 in _numbers(view.std, count, "std"):
            raise ConfigError(f"std={view.std}; a deviation must not be 0.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name}={value!r}; it must be a whole number, at least 1.")


def _pixels(value: object, name: str) -> None:
    sides: tuple[object, ...] = value if isinstance(value, tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides):
        raise ConfigError(f"{name}={value!r}; it must be a number of pixels, or (height, width).")


def _numbers(value: object, count: int, name: str) -> tuple[float, ...]:
    if not isinstance(value, tuple) or len(value) != count or not all(_is_number(v) for v in value):
        raise ConfigError(f"{name}={value!r}; it must be a tuple of {count} numbers.")
    return value


def _choice(value: object, kind: Any, name: str) -> None:
    if value not in get_args(kind):
        raise ConfigError(f"{name}={value!r}; it must be one of {', '.join(map(repr, get_args(kind)))}.")
