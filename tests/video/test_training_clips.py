"""What `View` does to clips in training alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.video.test_view import Memory, noise
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import augment, look
from tubelet.video.view import View

VIEW = View(frames=6, stride=2, size=8, resize=10, value_range=(-1.0, 1.0), jitter=(0.9, 1.2), flip=True)
ALL = replace(VIEW, rand_augment=(2, 15), rand_augment_set="corrected", erase=0.5, colour=(0.8, 0.1))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_official_order_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """RandAugment sees the whole cropped clip as grey levels, erasing its result; colour comes after the values."""
    seen: list[tuple[str, Tensor]] = []

    def rand_augment(clip: Tensor, layers: int, magnitude: float, g: torch.Generator, kind: str) -> Tensor:
        assert (layers, magnitude, kind) == (2, 15, "corrected")
        seen.append(("rand_augment", clip))
        return 255 - clip

    def erase(clip: Tensor, probability: float, g: torch.Generator) -> Tensor:
        assert probability == 0.5
        seen.append(("erase", clip))
        return clip

    monkeypatch.setattr(augment, "rand_augment", rand_augment)
    monkeypatch.setattr(augment, "erase", erase)
    video = Memory(pixels=noise(4, 3, 12, 16))
    clips = ALL.train_clips(video, generator(1))
    (first, augmented), (second, erased) = seen
    assert (first, second) == ("rand_augment", "erase")
    assert (
        augmented.shape == clips.pixels.shape[1:] == (6, 3, 8, 8)
    )  # 6 frames of a video of 4: some are there twice
    assert torch.equal(erased, 255 - augmented)
    assert torch.equal(clips.pixels[0], erased)
    assert clips.pixels.dtype == torch.uint8
    plain = VIEW.train_clips(video, generator(1))
    assert torch.equal(plain.pixels[0], augmented)
    assert plain.colour is None
    assert clips.colour is not None
    assert clips.colour.shape == (1, 6)


def test_train_is_train_clips_finished() -> None:
    video = Memory(pixels=noise(20, 3, 12, 16))
    view = replace(ALL, colour=(1.0, 0.0))
    clips = view.train_clips(video, generator(1))
    values = view.train(video, generator(1))
    assert torch.equal(values, view.finish(clips.pixels, clips.colour)[0])
    assert not torch.equal(values, view.normalise(clips.pixels)[0])
    assert torch.equal(view.train_uint8(video, generator(1)), clips.pixels[0])


def test_several_clips_of_one_video_are_decoded_once_and_differ() -> None:
    video = Memory(pixels=noise(30, 3, 12, 16))
    clips = ALL.train_clips(video, generator(1), count=5)
    assert clips.pixels.shape == (5, 6, 3, 8, 8)
    assert len(clips.flipped) == 5
    assert set(clips.flipped) == {False, True}
    (asked,) = video.asked
    assert len(asked) == len(set(asked))
    assert len({clip.numpy().tobytes() for clip in clips.pixels}) == 5
    first = look.train_clips(VIEW, video, generator(1), 1)
    alone = VIEW.train_clips(video, generator(1))
    assert torch.equal(first.pixels, alone.pixels)
    with pytest.raises(ConfigError, match="0 training clips"):
        VIEW.train_clips(video, generator(1), count=0)


def test_a_flipped_clip_says_so() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).expand(4, 3, 16, 16).contiguous()
    view = View(frames=2, stride=1, size=16, value_range=(0.0, 1.0), flip=True)
    for seed in range(8):
        clips = view.train_clips(Memory(pixels=pixels), generator(seed))
        assert clips.flipped == (bool(clips.pixels[0, 0, 0, 0, 0] == 15),)
    assert replace(view, flip=False).train_clips(Memory(pixels=pixels), generator(0)).flipped == (False,)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rand_augment": (0, 15)}, "rand_augment[0]=0"),
        ({"rand_augment": (2, 21)}, "magnitude from 0 to 20"),
        ({"rand_augment": 2}, "tuple of 2 numbers"),
        ({"rand_augment_set": "corrected"}, "has no effect without rand_augment"),
        ({"rand_augment_set": "torchvision"}, "must be one of 'official', 'corrected'"),
        ({"erase": 1.5}, "a probability"),
        ({"trim": 0.1}, "trim is for uniform=True"),
        ({"trim": 0.5, "stride": None, "uniform": True}, "from 0 to below 0.5"),
        ({"colour": (0.8, 1.1)}, "two probabilities"),
        ({"colour": (0.8, 0.1), "channels": 1}, "made for 3 channels"),
        ({"rand_augment": (2, 15), "channels": 1}, "made for 3 channels"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(VIEW, **fields)
    assert sentence in str(caught.value)


def test_a_trimmed_clip_begins_and_ends_inside_the_video() -> None:
    view = View(frames=5, uniform=True, size=8, value_range=(0.0, 1.0))
    trimmed = replace(view, trim=0.2)
    drawn = [trimmed.train_indices(20, None, generator(seed)).tolist() for seed in range(200)]
    whole = [view.train_indices(20, None, generator(seed)).tolist() for seed in range(200)]
    assert {min(c[0] for c in drawn), max(c[-1] for c in drawn)} == {0, 19}
    assert max(c[0] for c in drawn) > max(c[0] for c in whole)  # begins up to four frames later
    assert min(c[-1] for c in drawn) < min(c[-1] for c in whole)
    assert all(0 <= c[0] <= 7 and 12 <= c[-1] <= 19 and c == sorted(c) for c in drawn)
    assert len({c[-1] - c[0] for c in drawn}) > 5  # its speed differs
    assert trimmed.train_indices(1, None, generator(0)).tolist() == [0] * 5
    tested = [v.test_indices(20).tolist() for v in (view, trimmed)]
    assert tested[0] == tested[1]


def test_a_dictionary_and_back() -> None:
    assert View.from_dict(ALL.to_dict()) == ALL
