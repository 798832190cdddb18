"""What the configuration of a Hugging Face ViViT image processor says, in the words of a `View`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from tubelet.errors import ConfigError
from tubelet.video.resizing import Interpolation

if TYPE_CHECKING:
    from tubelet.video.view import View

# Pillow's numbers of its filters.
_FILTERS: dict[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "antialiased_bilinear",
    3: "antialiased_bicubic",
    4: "box",
    5: "hamming",
}
# Steps that a file may switch on without changing a pixel of ours: frames are RGB, and the View chooses them.
_HARMLESS_STEPS = {"do_convert_rgb", "do_sample_frames"}
_STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}


@dataclass(frozen=True, kw_only=True)
class Processor:
    """The geometry and the values that `VivitImageProcessor` makes; each field is the `View`'s of that name."""

    size: int | tuple[int, int]
    fit: Literal["shorter_side", "squash", "none"]
    resize: int | tuple[int, int] | None
    crop: bool
    interpolation: Interpolation
    value_range: tuple[float, float] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def read_processor(config: Mapping[str, object]) -> Processor:
    """Translate a `preprocessor_config.json`, with the defaults of `VivitImageProcessor` for what it leaves out.

    Raises:
        ConfigError: where a value is not one that the processor takes, or a step is on that it does not have.
    """
    for name, value in config.items():
        if name.startswith("do_") and value and name not in _STEPS | _HARMLESS_STEPS:
            raise ConfigError(
                f"the processor's {name}={value!r} is no step of a ViViT image processor; "
                f"known are {', '.join(sorted(_STEPS))}. Make a View by hand if it matters."
            )
    fit, resize, interpolation = _resizing(config)
    crop = bool(_get(config, "do_center_crop", True))
    crop_size = _size(_get(config, "crop_size", 224), "crop_size")
    if isinstance(crop_size, int):
        crop_size = (crop_size, crop_size)
    size = crop_size if crop or resize is None else resize
    if not isinstance(size, int) and size[0] == size[1]:
        size = size[0]
    value_range, mean, std = _values(config)
    return Processor(
        size=size,
        fit=fit,
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        value_range=value_range,
        mean=mean,
        std=std,
    )


def reasons_against_view(view: "View") -> list[str]:
    """Why no `VivitImageProcessor` looks as this view does; empty if one can (but for the choice of frames)."""
    checks = [
        (view.region is not None, f"region={view.region}: its processor sees whole frames"),
        (view.channels != 3, f"view.channels={view.channels}: its processor keeps the three of RGB"),
        (not view.crop and view.fit != "squash", "crop=False: frames of many shapes, where it takes one"),
    ]
    return [why for against, why in checks if against]


def write_processor(view: "View") -> dict[str, Any]:
    """The `preprocessor_config.json` of a view: the inverse of `read_processor`, where it has one.

    Values are always rescaled to [-1, 1] with `offset` first: `VivitVideoProcessor`, which transformers may use on
    the same file, does so whatever `offset` says. Interpolation without antialiasing becomes that with.
    """
    target = view.size if view.resize is None else view.resize
    height, width = (target, target) if isinstance(target, int) else target
    if view.value_range is not None:
        low, high = view.value_range
        means, stds = [-(high + low) / (high - low)] * 3, [2 / (high - low)] * 3
    else:
        means, stds = [2 * m - 1 for m in view.mean or ()], [2 * s for s in view.std or ()]
    filters: dict[str, int] = {name: number for number, name in _FILTERS.items()}
    return {
        "image_processor_type": "VivitImageProcessor",
        "do_resize": view.fit != "none",
        "size": {"height": height, "width": width}
        if view.fit == "squash"
        else {"shortest_edge": max(height, width)},
        "resample": filters.get(view.interpolation, filters["antialiased_bilinear"]),
        "do_center_crop": view.crop,
        "crop_size": {"height": view.height, "width": view.width},
        "do_rescale": True,
        "rescale_factor": 1 / 127.5,
        "offset": True,
        "do_normalize": (means, stds) != ([0.0] * 3, [1.0] * 3),
        "image_mean": means,
        "image_std": stds,
    }


def _get(config: Mapping[str, object], name: str, default: object) -> object:
    value = config.get(name)
    return default if value is None else value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"the processor's {name} is {value!r}; it must be a number.")
    return float(value)


def _size(value: object, name: str) -> int | tuple[int, int]:
    """A shorter side, or (height, width), from the forms that these files use."""
    sides: Sequence[object] = ()
    if isinstance(value, Mapping):
        given = cast("Mapping[str, object]", value)
        if "shortest_edge" in given and name == "size":
            sides = (given["shortest_edge"],)
        elif "height" in given and "width" in given:
            sides = (given["height"], given["width"])
    elif isinstance(value, list | tuple):
        sides = cast("Sequence[object]", value)
    else:
        sides = (value,)
    whole = tuple(s for s in sides if isinstance(s, int) and not isinstance(s, bool) and s > 0)
    if len(whole) != len(sides) or len(whole) not in (1, 2):
        raise ConfigError(
            f"the processor's {name} is {value!r}; it must be a whole number of pixels, "
            '{"height": ..., "width": ...} or, for size, {"shortest_edge": ...}.'
        )
    return whole[0] if len(whole) == 1 else (whole[0], whole[1])


def _resizing(
    config: Mapping[str, object],
) -> tuple[Literal["shorter_side", "squash", "none"], int | tuple[int, int] | None, Interpolation]:
    number = _get(config, "resample", 2)
    if not isinstance(number, int) or number not in _FILTERS:
        raise ConfigError(
            f"the processor's resample is {number!r}; it must be one of {list(_FILTERS)} (Pillow's)."
        )
    if not _get(config, "do_resize", True):
        return "none", None, _FILTERS[number]
    size = _size(_get(config, "size", {"shortest_edge": 256}), "size")
    return ("shorter_side" if isinstance(size, int) else "squash"), size, _FILTERS[number]


def _values(
    config: Mapping[str, object],
) -> tuple[tuple[float, float] | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """The value step as one of a range and a mean and deviation: both say the same a * x + b per channel."""
    rescale, offset = _get(config, "do_rescale", True), _get(config, "offset", True)
    if offset and not rescale:
        raise ConfigError(
            "the processor has offset without do_rescale, which VivitImageProcessor refuses; say offset: false."
        )
    factor = _number(_get(config, "rescale_factor", 1 / 127.5), "rescale_factor") if rescale else 1.0
    if factor == 0:
        raise ConfigError("the processor's rescale_factor is 0, which makes every pixel the same.")
    if not _get(config, "do_normalize", True):
        means, stds = (0.0,), (1.0,)
    else:
        means, stds = (_channels(config, name) for name in ("image_mean", "image_std"))
    if len(means) != len(stds) and 1 in (len(means), len(stds)):
        means, stds = (
            means * len(stds) if len(means) == 1 else means,
            stds * len(means) if len(stds) == 1 else stds,
        )
    if len(means) != len(stds) or 0.0 in stds:
        raise ConfigError(
            f"the processor's image_mean {list(means)} and image_std {list(stds)} do not go together; "
            "give one of each for every channel, deviations not 0."
        )
    shift = 1.0 if offset else 0.0
    if len(set(means)) == len(set(stds)) == 1:
        return ((-shift - means[0]) / stds[0], (255 * factor - shift - means[0]) / stds[0]), None, None
    scale = 255 * factor
    return None, tuple((shift + m) / scale for m in means), tuple(s / scale for s in stds)


def _channels(config: Mapping[str, object], name: str) -> tuple[float, ...]:
    value = _get(config, name, 0.5)
    given = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)
    return tuple(_number(v, name) for v in given)
