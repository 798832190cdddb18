"""What a `View` refuses: fields that make no sense, alone or together, each with a sentence that says what would."""

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tubelet.errors import ConfigError
from tubelet.video.augment import OperationSet
from tubelet.video.clips import Short
from tubelet.video.resizing import Interpolation

if TYPE_CHECKING:
    from tubelet.video.view import View

Fit = Literal["shorter_side", "squash", "none"]
Sampling = Literal["stride", "rate", "uniform"]
Answers = Literal["video", "window"]


def check_view(view: "View") -> None:
    """Raise ConfigError for a View that makes no sense."""
    _check_frames(view)
    _check_geometry(view)
    _check_values(view)
    _check_augmentation(view)
    if parse_views(view.views)[1] == 3 and not view.crop:
        raise ConfigError(f"views={view.views!r} are three crops, and crop=False shows the whole frame.")


def parse_views(views: str | tuple[int, int]) -> tuple[int, int]:
    """(clips, crops) of "4x3" or (4, 3)."""
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


def _check_frames(view: "View") -> None:
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


def _check_geometry(view: "View") -> None:
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


def _check_crop_fits(view: "View") -> None:
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


def _check_values(view: "View") -> None:
    _whole(view.channels, "channels")
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


def _check_augmentation(view: "View") -> None:
    _choice(view.rand_augment_set, OperationSet, "rand_augment_set")
    if view.rand_augment is not None:
        layers, magnitude = _numbers(view.rand_augment, 2, "rand_augment")
        _whole(layers, "rand_augment[0]")
        if not 0 <= magnitude <= 20:
            raise ConfigError(
                f"rand_augment={view.rand_augment}; it is (layers, magnitude), magnitude from 0 to 20."
            )
    elif view.rand_augment_set != "official":
        raise ConfigError(f"rand_augment_set={view.rand_augment_set!r} has no effect without rand_augment.")
    if not _is_number(view.trim) or not 0 <= view.trim < 0.5:
        raise ConfigError(
            f"trim={view.trim!r}; it is a share of the video at either end, from 0 to below 0.5."
        )
    if view.trim and not view.uniform:
        raise ConfigError("trim is for uniform=True; other views draw where a clip begins in any case.")
    if not _is_number(view.erase) or not 0 <= view.erase <= 1:
        raise ConfigError(f"erase={view.erase!r}; it is a probability, from 0 to 1.")
    if view.colour is not None and not all(0 <= p <= 1 for p in _numbers(view.colour, 2, "colour")):
        raise ConfigError(
            f"colour={view.colour}; it is two probabilities, (jitter, grey), such as (0.8, 0.1)."
        )
    coloured = [name for name in ("rand_augment", "colour") if getattr(view, name) is not None]
    if coloured and view.channels != 3:
        raise ConfigError(
            f"{' and '.join(coloured)}: made for 3 channels, and the view shows {view.channels}."
        )


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
