import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import look, resizing
from tubelet.video.view import View

GREY = {"value_range": (0.0, 255.0)}


class Memory:
    """A video in memory, which remembers what was asked of it. Frame i is grey level i unless pixels are given."""

    def __init__(self, length: int = 20, height: int = 12, width: int = 16, pixels: Tensor | None = None):
        levels = torch.arange(length, dtype=torch.uint8)[:, None, None, None]
        self.pixels = levels.expand(-1, 3, height, width).contiguous() if pixels is None else pixels
        self.height, self.width = self.pixels.shape[-2:]
        self.timestamps = np.arange(len(self.pixels)) / 10.0
        self.duration_seconds = len(self.pixels) / 10.0
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, indices: NDArray[np.int64]) -> Tensor:
        self.asked.append(indices.tolist())
        return self.pixels[torch.from_numpy(indices)]


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def first_pixels(pixels: Tensor) -> list[Any]:
    return pixels[..., 0, 0, 0].int().tolist()


# Test views


def test_official_views(golden: Path) -> None:
    cases = json.loads((golden / "preprocessing" / "temporal_sampling.json").read_text())["cases"]
    for name, expected in cases.items():
        length, clips, frames, stride = map(int, name.split("/"))
        view = View.scenic(frames=frames, stride=stride)
        found = view.test_indices(length, None, clips).tolist()
        assert found == (expected["test_clips"] if clips > 1 else [expected["middle_clip"]])
        assert view.test_indices(length)[0].tolist() == expected["middle_clip"]


def test_official_pixels(golden: Path) -> None:
    with np.load(golden / "preprocessing" / "geometry.npz") as stored:
        for case in range(5):
            values = {
                k: torch.from_numpy(stored[f"{case}/{k}"]).movedim(-1, -3)
                for k in ("video", "central_crop", "three_crops", "normalised_zero_centred")
            }
            resize, size = stored[f"{case}/min_resize_crop"].tolist()
            video = Memory(pixels=values["video"].contiguous())
            view = View.scenic(frames=len(video), stride=1, resize=resize, size=size, jitter=None)
            assert torch.equal(view.test(video, "1x1").pixels[0], values["normalised_zero_centred"])
            assert torch.equal(view.test_uint8(video, "1x3").pixels.flatten(0, 1), values["three_crops"])
            assert torch.equal(view.prepare(video.pixels), values["central_crop"])


def test_views_are_crop_major_and_frames_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = torch.arange(16, dtype=torch.uint8).expand(20, 3, 8, 16)
    times = 10 * torch.arange(20, dtype=torch.uint8)[:, None, None, None]
    video = Memory(pixels=(columns + times).contiguous())
    view = View(frames=4, stride=2, size=8, **GREY)
    views = view.test(video, "3x3")
    assert views.pixels.shape == (9, 4, 3, 8, 8)
    assert views.indices.tolist() == [[0, 2, 4, 6], [6, 8, 10, 12], [12, 14, 16, 18]]
    expected = [(10 * i + 4 * crop).tolist() for crop in range(3) for i in views.indices]
    assert first_pixels(views.pixels) == expected
    assert video.asked == [[0, 2, 4, 6, 8, 10, 12, 14, 16, 18]]
    assert torch.equal(view.test(video, (3, 3)).pixels, views.pixels)
    assert torch.equal(view.normalise(view.test_uint8(video, "3x3").pixels), views.pixels)
    # However few frames fit in memory, the pixels are the same and each frame is decoded once.
    monkeypatch.setattr(look, "DECODED_BYTES", 3 * 3 * 8 * 16)
    video.asked.clear()
    assert torch.equal(view.test(video, "3x3").pixels, views.pixels)
    assert video.asked == [[0, 2, 4], [6, 8, 10], [12, 14, 16], [18]]


def test_the_fields_views_are_the_default() -> None:
    view = View(frames=4, stride=1, size=8, views="2x3", **GREY)
    assert len(view.test(Memory()).pixels) == 6
    assert len(View.scenic(frames=4, size=8, resize=9).test(Memory()).pixels) == 12


@given(length=st.integers(1, 300), frames=st.integers(1, 16), clips=st.integers(1, 6), data=st.data())
def test_indices_are_in_range_for_every_sampling(
    length: int, frames: int, clips: int, data: st.DataObject
) -> None:
    how: dict[str, Any] = data.draw(
        st.sampled_from([{"stride": 3}, {"frames_per_second": 7.5}, {"uniform": True}])
    )
    view = View(frames=frames, size=8, value_range=(0, 1), **how)
    generator = torch.Generator().manual_seed(length)
    for clock in (25.0, np.arange(length) / 25.0):
        found = view.test_indices(length, clock, clips)
        drawn = view.train_indices(length, clock, generator)
        assert found.shape == (clips, frames)
        assert found.dtype == np.int64
        assert drawn.shape == (frames,)
        for indices in (*found, drawn):
            assert indices.min() >= 0
            assert indices.max() < length
            if view.uniform or (frames + 1) * 4 < length:
                assert np.all(np.diff(indices) >= 0)


# Windows


def test_windows_are_lazy_and_cover_the_video() -> None:
    video = Memory(length=11)
    view = View(frames=4, stride=1, size=8, fit="none", answers="window", **GREY)
    windows = view.windows(video)
    assert video.asked == []
    first = next(windows)
    assert video.asked == [[0, 1, 2, 3]]
    found = [first, *windows]
    assert [(w.start_seconds, w.end_seconds) for w in found] == [
        (0.0, pytest.approx(0.4)),
        (pytest.approx(0.4), pytest.approx(0.8)),
        (pytest.approx(0.7), pytest.approx(1.1)),
    ]
    assert [w.indices.tolist() for w in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [7, 8, 9, 10]]
    assert [first_pixels(w.pixels) for w in found] == [w.indices.tolist() for w in found]
    assert video.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]  # frame 7 is kept, not decoded again


def test_windows_by_rate_with_a_hop() -> None:
    view = View(frames=4, frames_per_second=5.0, hop=2, size=8, fit="none", **GREY)
    found = [(w.start_seconds, w.end_seconds, w.indices.tolist()) for w in view.windows(Memory(length=14))]
    assert found == [
        (0.0, pytest.approx(0.8), [0, 2, 4, 6]),
        (pytest.approx(0.4), pytest.approx(1.2), [4, 6, 8, 10]),
        (pytest.approx(0.7), pytest.approx(1.4), [7, 9, 11, 13]),
    ]


def test_a_short_video_has_one_window() -> None:
    view = View(frames=4, stride=2, size=8, fit="none", short="hold", **GREY)
    (window,) = view.windows(Memory(length=3))
    assert window.indices.tolist() == [0, 2, 2, 2]
    assert (window.start_seconds, window.end_seconds) == (0.0, pytest.approx(0.3))
    with pytest.raises(ConfigError, match="ends after a video of 3 frames"):
        list(replace(view, short="refuse").windows(Memory(length=3)))


# Training


def test_training_clips() -> None:
    video = Memory(pixels=noise(30, 3, 40, 60))
    view = View.scenic(frames=5, stride=2, size=24, resize=32)

    def draw(seed: int) -> Tensor:
        return view.train_uint8(video, torch.Generator().manual_seed(seed))

    clip = draw(0)
    assert clip.shape == (5, 3, 24, 24)
    assert clip.dtype == torch.uint8
    assert torch.equal(clip, draw(0))
    assert any(not torch.equal(clip, draw(seed)) for seed in range(1, 4))
    floats = view.train(video, torch.Generator().manual_seed(0))
    torch.testing.assert_close(floats, clip.float() * (2 / 255) - 1)
    assert float(floats.min()) >= -1
    assert float(floats.max()) <= 1
    whole = View(frames=5, uniform=True, size=24, crop=False, flip=True, **GREY)
    assert whole.train(video, torch.Generator().manual_seed(0)).shape == (5, 3, 24, 36)


def test_a_training_clip_has_one_augmentation_for_all_frames() -> None:
    still = Memory(pixels=noise(1, 3, 40, 60).expand(30, -1, -1, -1).contiguous())
    view = View.scenic(frames=5, size=24, resize=32)
    for seed in range(4):
        clip = view.train(still, torch.Generator().manual_seed(seed))
        assert all(torch.equal(clip[0], frame) for frame in clip)


# Geometry and values


def test_fits() -> None:
    frames = noise(2, 3, 40, 60)
    squashed = View(frames=1, stride=1, size=(16, 20), fit="squash", **GREY)
    assert torch.equal(squashed.prepare(frames), resizing.resize(frames, (16, 20)))
    then_cropped = replace(squashed, resize=(20, 30)).prepare(frames)
    assert torch.equal(then_cropped, resizing.resize(frames, (20, 30))[..., 2:18, 5:25])
    untouched = View(frames=1, stride=1, size=16, fit="none", **GREY)
    assert torch.equal(untouched.prepare(frames), frames[..., 12:28, 22:38])
    assert replace(untouched, crop=False).prepare(frames).shape[-2:] == (40, 60)
    region = replace(squashed, region=(0.5, 0.25, 1.0, 0.75))
    assert torch.equal(region.prepare(frames), resizing.resize(frames[..., 20:, 15:45], (16, 20)))
    luma = replace(squashed, channels=1)
    assert luma.prepare(frames).shape == (2, 1, 16, 20)
    assert luma.test(Memory(pixels=frames), "1x3").pixels.shape == (3, 1, 1, 16, 20)
    with pytest.raises(ConfigError, match="does not fit frames of 40x60"):
        View(frames=1, stride=1, size=50, fit="none", **GREY).prepare(frames)
    padded = View(frames=1, stride=1, size=50, fit="none", pad=True, **GREY).prepare(frames)
    assert torch.equal(padded[..., 5:45, :], frames[..., 5:55])


def test_normalise_takes_any_leading_shape() -> None:
    view = View.image((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), size=8, frames=2)
    pixels = noise(4, 2, 3, 8, 8)
    found = view.normalise(pixels)
    assert torch.equal(found[1, 1], view.normalise(pixels[1, 1]))
    expected = (pixels[..., 1, :, :].float() / 255 - 0.5) / 0.2
    torch.testing.assert_close(found[..., 1, :, :], expected, rtol=0, atol=1e-5)
    assert view.resize == 9
    assert View.image((0.5,), (0.5,)).resize == 256


# As a value


def some_views() -> st.SearchStrategy[View]:
    how = st.sampled_from([{"stride": 2}, {"frames_per_second": 12.5}, {"uniform": True}])
    values = st.sampled_from(
        [
            {"value_range": (-1.0, 1.0)},
            {"mean": (0.1, 0.2, 0.3), "std": (1.0, 0.5, 0.2)},
            {"mean": (0.5,), "std": (0.5,)},
        ]
    )
    rest = st.fixed_dictionaries(
        {
            "frames": st.integers(1, 64),
            "size": st.one_of(st.integers(8, 64), st.tuples(st.integers(8, 64), st.integers(8, 64))),
            "fit": st.sampled_from(["shorter_side", "squash", "none"]),
            "short": st.sampled_from(["loop", "hold", "refuse"]),
            "region": st.sampled_from([None, (0.1, 0.2, 0.9, 1.0)]),
            "views": st.sampled_from(["1x1", "4x3", "10x1"]),
            "flip": st.booleans(),
            "pad": st.booleans(),
        }
    )
    return st.builds(lambda a, b, c: View(**a, **b, **c), how, values, rest)


@given(view=some_views())
def test_from_dict_inverts_to_dict(view: View) -> None:
    plain = view.to_dict()
    assert View.from_dict(plain) == view
    assert View.from_dict(json.loads(json.dumps(plain))) == view
    assert hash(View.from_dict(plain)) == hash(view)


def test_from_dict_refuses_what_it_does_not_know() -> None:
    plain = View.scenic().to_dict()
    with pytest.raises(ConfigError, match="a View has no strides; its fields are"):
        View.from_dict({**plain, "strides": 2})
    with pytest.raises(ConfigError, match="needs frames and size"):
        View.from_dict({"stride": 2})


def test_sampling_is_inferred() -> None:
    assert View.scenic().sampling == "stride"
    assert View.scenic(frames_per_second=5.0).sampling == "rate"
    assert View.scenic(uniform=True).sampling == "uniform"
    assert (View.scenic(size=(96, 128)).height, View.scenic(size=(96, 128)).width) == (96, 128)
    assert (View.scenic().height, View.scenic().width) == (224, 224)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"frames": 0}, "frames=0; it must be a whole number, at least 1"),
        ({"frames": "32"}, "frames='32'"),
        ({"stride": None}, "exactly one must say how frames are chosen"),
        ({"uniform": True}, "exactly one must say how frames are chosen"),
        ({"stride": 0}, "stride=0"),
        ({"stride": None, "frames_per_second": -1.0}, "positive number"),
        ({"short": "mirror"}, "'loop', 'hold', 'refuse'"),
        ({"answers": "frame"}, "'video', 'window'"),
        ({"hop": 0}, "hop=0"),
        ({"stride": None, "uniform": True, "answers": "window"}, "has no windows"),
        ({"stride": None, "uniform": True, "hop": 2}, "has no windows"),
        ({"size": 0}, "size=0"),
        ({"size": (2, 3, 4)}, "number of pixels, or"),
        ({"fit": "letterbox"}, "'shorter_side', 'squash', 'none'"),
        ({"interpolation": "cubic"}, "interpolation='cubic'"),
        ({"resize": (9, 9)}, '"shorter_side" takes one number'),
        ({"fit": "none", "resize": 9}, '"none" does not resize'),
        ({"resize": 7}, "smaller than the crop"),
        ({"fit": "squash", "resize": (9, 7)}, "smaller than the crop"),
        ({"jitter": (0.5, 1.0)}, "scaled by jitter 0.5 is smaller than the crop"),
        ({"jitter": (1.2, 1.0)}, "0 < min <= max"),
        ({"jitter": (1.0, 1.1), "crop": False}, "needs crop=True"),
        ({"region": (0.5, 0.0, 0.5, 1.0)}, "top < bottom"),
        ({"region": (0.0, 1.0)}, "tuple of 4 numbers"),
        ({"channels": 0}, "channels=0"),
        ({"value_range": None}, "give either value_range"),
        ({"mean": (0.5,)}, "give either value_range"),
        ({"value_range": None, "mean": (0.5,)}, "both mean and std"),
        ({"value_range": (1.0, 1.0)}, "makes every pixel the same"),
        ({"value_range": None, "mean": (0.5, 0.5), "std": (1.0, 1.0)}, "tuple of 3 numbers"),
        ({"value_range": None, "mean": (0.5,), "std": (0.0,)}, "must not be 0"),
        ({"flip": 1}, "flip=1; it must be True or False"),
        ({"views": "4x2"}, "one or three crops"),
        ({"views": "4x3", "crop": False}, "crop=False shows the whole frame"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    sound: dict[str, Any] = {"frames": 4, "stride": 2, "size": 8, "value_range": (-1.0, 1.0)}
    View(**sound)
    with pytest.raises(ConfigError) as caught:
        View(**(sound | fields))
    assert sentence in str(caught.value)


def test_nonsense_in_use_is_refused_with_a_sentence() -> None:
    view = View(frames=4, frames_per_second=5.0, size=8, **GREY)
    with pytest.raises(ConfigError, match="needs the video's frame rate or timestamps"):
        view.test_indices(20)
    with pytest.raises(ConfigError, match="0 test clips"):
        view.test_indices(20, 25.0, 0)
    for views in ("4", "0x1", "ax1", (4, 2), (1, 1, 1), "4x-1"):
        with pytest.raises(ConfigError, match="say clips x crops"):
            view.test(Memory(), views)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ask for one crop"):
        replace(view, crop=False).test(Memory(), "1x3")
    with pytest.raises(ConfigError, match="looks at a whole video at once"):
        list(View(frames=4, uniform=True, size=8, **GREY).windows(Memory()))


# Hugging Face

PLAIN = {"do_normalize": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "the processor's defaults": {},
    "official values": PLAIN,
    "unit values": {**PLAIN, "offset": False, "rescale_factor": 1 / 255},
    "an image model's values": {
        "offset": False,
        "rescale_factor": 1 / 255,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "mean per channel over an offset": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]},
    "one mean for all": {"image_mean": 0.2, "image_std": [0.5, 0.4, 0.3]},
    "grey levels": {**PLAIN, "offset": False, "do_rescale": False},
    "normalised grey levels": {
        "offset": False,
        "do_rescale": False,
        "image_mean": [120.0, 110.0, 100.0],
        "image_std": [60.0, 50.0, 40.0],
    },
    "another factor": {**PLAIN, "rescale_factor": 0.01},
    "squashed": {**PLAIN, "size": {"height": 70, "width": 50}, "crop_size": {"height": 40, "width": 44}},
    "squashed, not cropped": {**PLAIN, "size": {"height": 70, "width": 50}, "do_center_crop": False},
    "not cropped": {**PLAIN, "size": {"shortest_edge": 64}, "do_center_crop": False},
    "a number for a size": {**PLAIN, "size": 70, "crop_size": 45},
    "not resized": {**PLAIN, "do_resize": False, "crop_size": 45},
    "not resized, not cropped": {**PLAIN, "do_resize": False, "do_center_crop": False},
    "cropped larger than the picture": {**PLAIN, "size": {"shortest_edge": 40}, "crop_size": 61},
    "cropped higher than the picture": {
        **PLAIN,
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 75, "width": 33},
    },
    "enlarged": {**PLAIN, "size": {"shortest_edge": 233}, "crop_size": 201},
    **{
        f"filter {n}": {**PLAIN, "resample": n, "size": {"shortest_edge": 60}, "crop_size": 45}
        for n in range(6)
    },
}


def natural(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth shapes, edges and a little noise: (3, height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [120 + 80 * np.sin(x / (7 + c) + t) * np.cos(y / (11 - c)) for t in range(3) for c in range(3)]
    pictures = np.stack(waves).reshape(3, 3, height, width).transpose(0, 2, 3, 1)
    pictures[:, height // 3 : height // 2, width // 4 : width // 2] = 240
    pictures += np.random.default_rng(0).normal(0, 4, pictures.shape)
    return np.clip(pictures, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", [(90, 161), (140, 97)])
def test_huggingface_options_are_those_of_the_live_processor(name: str, shape: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, for its image processor")
    options = OPTIONS[name]
    processor = transformers.VivitImageProcessor(**options)
    for frames in (natural(*shape), noise(3, *shape, 3).numpy()):
        expected = processor(list(frames), return_tensors="pt")["pixel_values"]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This processor brings pixels to")
            view = View.huggingface({**processor.to_dict(), **options}, frames=3, stride=1)
            assert View.huggingface(options, frames=3, stride=1) == view  # left out is the live default
        video = Memory(pixels=torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous())
        found = view.test(video, "1x1").pixels
        assert found.shape == expected.shape
        if view.crop:
            assert found.shape[-2:] == (view.height, view.width)
        if view.value_range is not None:
            level: float | Tensor = (view.value_range[1] - view.value_range[0]) / 255
        else:
            assert view.std is not None
            level = 1 / (255 * torch.tensor(view.std))[:, None, None]
        # All pixels agree: what is left is the last bits of float32.
        assert float(((found - expected).abs() / level).max()) < 1e-3


def test_huggingface_warns_once_of_values_from_minus_three_to_one() -> None:
    with pytest.warns(UserWarning, match=r"to \[-3, 1\]") as caught:
        view = View.huggingface({"size": {"shortest_edge": 30}, "crop_size": 24}, frames=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert view.value_range == pytest.approx((-3.0, 1.0))
    for quiet in (PLAIN, {"offset": False, "rescale_factor": 1 / 255}):
        View.huggingface(quiet, frames=2)  # warnings are errors here
    assert View.huggingface(PLAIN).value_range == pytest.approx((-1.0, 1.0))
    assert View.huggingface(PLAIN).stride == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"do_rescale": False}, "offset without do_rescale"),
        ({"do_pad": True}, "do_pad=True is no step"),
        ({"resample": 9}, "resample is 9"),
        ({"size": {"longest_edge": 30}}, "size is"),
        ({"crop_size": {"shortest_edge": 30}}, "crop_size is"),
        ({"size": 30.5}, "size is 30.5"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'"),
        ({"rescale_factor": 0}, "makes every pixel the same"),
        ({"image_mean": [0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}, "do not go together"),
        ({"image_std": 0.0}, "deviations not 0"),
    ],
)
def test_huggingface_nonsense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        View.huggingface(options)
    assert sentence in str(caught.value)


@settings(max_examples=20)
@given(length=st.integers(1, 40), frames=st.integers(1, 8), clips=st.integers(1, 4))
def test_pixels_are_those_of_the_indices(length: int, frames: int, clips: int) -> None:
    view = View(frames=frames, stride=2, size=8, **GREY)
    views = view.test(Memory(length=length), (clips, 3))
    assert first_pixels(views.pixels) == 3 * views.indices.tolist()


def test_a_file_of_variable_rate(shared: Path) -> None:
    decode = pytest.importorskip("tubelet.video.decode")
    view = View.scenic(frames=8, frames_per_second=10.0, size=64, resize=72)
    with decode.Video(shared / "data" / "decoder-robustness" / "derived_nasa_vfr.mp4") as video:
        views = view.test(video, "2x3")
        times = video.timestamps[views.indices[0]]
        gap = float(np.max(np.diff(video.timestamps)))
        windows = list(view.windows(video))
        duration = video.duration_seconds
    assert views.pixels.shape == (6, 8, 3, 64, 64)
    assert np.all(np.abs(times - times[0] - np.arange(8) / 10) <= gap)
    assert windows[0].start_seconds == 0
    assert windows[-1].end_seconds == pytest.approx(duration, abs=0.11)
