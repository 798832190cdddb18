"""RandAugment and random erasing; the recorded operations are in tests/parity/test_preprocessing.py."""

import pytest
import torch
from torch import Tensor

from tubelet.video import augment


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_same_generator_gives_the_same_clip_and_others_give_others() -> None:
    clip = noise(3, 3, 12, 14)
    found = [augment.rand_augment(clip, 2, 15, generator(seed)) for seed in (1, 1, 2, 3)]
    assert torch.equal(found[0], found[1])
    assert not all(torch.equal(found[0], other) for other in found[2:])
    assert all(f.dtype == torch.uint8 and f.shape == clip.shape for f in found)


def test_every_operation_comes_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def note(clip: Tensor, operation: str, *_: object) -> Tensor:
        seen.append(operation)
        return clip

    monkeypatch.setattr(augment, "operate", note)
    augment.rand_augment(noise(1, 3, 4, 4), 2400, 10, generator(0))
    counts = [seen.count(operation) for operation in augment.OPERATIONS]
    assert sum(counts) == 2400
    assert all(140 < count < 260 for count in counts)


@pytest.mark.parametrize("operation", augment.OPERATIONS)
def test_equal_frames_stay_equal(operation: str) -> None:
    """The filter of sharpness alone sees across frames: there only what is inside a frame stays equal."""
    clip = noise(1, 3, 12, 14).expand(4, -1, -1, -1).contiguous()
    found = augment.operate(clip, operation, 15, (5, 6))
    if operation == "sharpness":
        found = found[..., 1:-1, 1:-1]
    assert all(torch.equal(found[0], frame) for frame in found[1:])


def test_the_corrected_set_mends_solarize_and_contrast_and_nothing_else() -> None:
    clip = noise(4, 3, 160, 160)
    for operation in augment.OPERATIONS:
        pair = [augment.operate(clip, operation, 20, (5, 6), kind) for kind in ("official", "corrected")]
        assert torch.equal(*pair) == (operation not in ("solarize", "contrast"))
    assert torch.equal(augment.operate(clip, "solarize", 20, (0, 0)), 255 - clip)
    assert torch.equal(augment.operate(clip, "solarize", 20, (0, 0), "corrected"), clip)
    grey = clip.float().mean()
    weak, strong = (augment.operate(clip, "contrast", m, (0, 0), "corrected").float() for m in (0, 10))
    assert float((weak - grey).abs().mean()) < 8 < float((strong - grey).abs().mean())
    official = augment.operate(clip, "contrast", 0, (0, 0)).float()
    assert float(official.mean()) > 230  # nearly white


def test_a_clip_too_small_for_the_filter_is_left_alone() -> None:
    clip = noise(1, 3, 2, 2)
    assert torch.equal(augment.operate(clip, "sharpness", 10, (0, 0)), clip)
    flat = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    for operation in ("equalize", "autocontrast"):
        assert torch.equal(augment.operate(flat, operation, 10, (0, 0)), flat)


def test_erasing_covers_one_rectangle_the_same_in_all_frames() -> None:
    clip = torch.zeros(3, 3, 40, 50, dtype=torch.uint8)
    shares: list[float] = []
    for seed in range(60):
        erased = augment.erase(clip, 1.0, generator(seed))
        assert torch.equal(erased[0], erased[2])
        rows, columns = (erased[0].sum(0).sum(axis).nonzero().flatten() for axis in (1, 0))
        shares.append(len(rows) * len(columns) / (40 * 50))
        inside = erased[0][:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (inside > 0).float().mean() > 0.9
        assert len(rows) == rows[-1] - rows[0] + 1
    assert 0.015 < min(shares) < 0.1
    assert 0.25 < max(shares) < 0.35
    assert clip.sum() == 0  # what came in is not changed
    assert augment.erase(clip, 0.0, generator(0)) is clip
    often = sum(bool(augment.erase(clip, 0.25, generator(seed)).any()) for seed in range(400))
    assert 70 < often < 130


def test_a_frame_that_no_rectangle_fits_is_left_alone() -> None:
    clip = noise(1, 3, 1, 200)
    assert augment.erase(clip, 1.0, generator(0)).shape == clip.shape
