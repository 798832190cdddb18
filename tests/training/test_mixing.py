import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tubelet.training.mixing import cutmix, mix_group, mixup, rectangle


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.floats(0, 1), st.integers(1, 5))
def test_a_group_that_reads_the_same_backwards_stays_as_it_is(share: float, count: int) -> None:
    half = torch.randn(count, 1, 2, 4, 5)
    video, targets = torch.cat((half, half.flip(0))), torch.rand(count, 3)
    targets = torch.cat((targets, targets.flip(0)))
    for found in (mixup(video, targets, share), cutmix(video, targets, (1, 3, 0, 4))):
        torch.testing.assert_close(found[0], video)
        torch.testing.assert_close(found[1], targets)


@given(st.floats(0, 1), st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_cutmix_mixes_targets_by_the_area_that_it_changes(
    share: float, height: int, width: int, seed: int
) -> None:
    video = torch.stack((torch.zeros(2, 3, height, width), torch.ones(2, 3, height, width)))
    inside = rectangle(share, height, width, generator(seed))
    assert 0 <= inside[0] <= inside[1] <= height
    assert 0 <= inside[2] <= inside[3] <= width
    mixed, targets = cutmix(video, torch.eye(2), inside)
    torch.testing.assert_close(mixed[0].mean(), targets[0, 1])
    torch.testing.assert_close(mixed[1].mean(), targets[1, 1])
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert torch.equal(mixed[0, 0], mixed[0, 1])  # the same place in all frames
    assert video[0].sum() == 0  # what came in is not changed


def test_whole_and_nothing() -> None:
    video, targets = torch.randn(3, 1, 2, 4, 5), torch.eye(3)
    torch.testing.assert_close(mixup(video, targets, 1.0), (video, targets))
    torch.testing.assert_close(mixup(video, targets, 0.0), (video.flip(0), targets.flip(0)))
    assert mix_group(video, targets, None, None, generator())[0] is video
    torch.testing.assert_close(cutmix(video, targets, (0, 4, 0, 5)), (video.flip(0), targets.flip(0)))


@pytest.mark.parametrize(("alpha", "spread"), [(0.3, 0.395), (1.0, 0.289), (50.0, 0.05)])
def test_shares_are_from_a_beta_distribution(alpha: float, spread: float) -> None:
    video, targets = torch.zeros(2, 1, 1, 1, 1), torch.eye(2)
    shares = [float(mix_group(video, targets, alpha, None, generator(s))[1][0, 0]) for s in range(1500)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.std(shares) == pytest.approx(spread, rel=0.08)


def test_a_coin_decides_between_both() -> None:
    video = torch.stack((torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)))
    found = [mix_group(video, torch.eye(2), 5.0, 5.0, generator(s))[0] for s in range(300)]
    cuts = sum(bool(((mixed == 0) | (mixed == 1)).all()) for mixed in found)
    assert 110 < cuts < 190
    alone = [mix_group(video, torch.eye(2), None, 5.0, generator(s))[0] for s in range(20)]
    assert all(bool(((mixed == 0) | (mixed == 1)).all()) for mixed in alone)


def test_what_nobody_said_stays_unknown_in_the_mixture() -> None:
    targets = torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    assert mixup(torch.zeros(2, 1, 1, 1, 1), targets, 0.4)[1].isnan().all()
