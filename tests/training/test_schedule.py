import math

import pytest

from tubelet.errors import ConfigError
from tubelet.training.optimizer import Optimizer
from tubelet.training.schedule import lr_factor, official_cosine, warmup_cosine


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (7, 0.5), (1, 0.0), (3, 0.9)])
def test_up_then_down_and_never_zero(steps: int, warmup: float):
    factors = [warmup_cosine(step, steps, warmup) for step in range(steps)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)


def test_values():
    assert warmup_cosine(10, 100, 0.1) == 1
    assert warmup_cosine(0, 100, 0.1) == pytest.approx(1 / 11)
    assert warmup_cosine(55, 100, 0.1) == pytest.approx(0.5)
    assert warmup_cosine(100, 100, 0.1) == pytest.approx(0)


def test_the_official_one_starts_at_zero_and_takes_warm_ups_that_are_not_whole():
    assert official_cosine(0, 100, 10.5) == 0
    assert official_cosine(5, 100, 10.5) == pytest.approx(5 / 10.5)
    assert official_cosine(10, 100, 10.5) == pytest.approx(10 / 10.5)
    # The warm-up's whole steps alone are taken off the cosine: 90 steps, of which 0.5 are over at step 11.
    assert official_cosine(11, 100, 10.5) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5 / 90)))
    assert 0 < official_cosine(99, 100, 10.5) < 0.001
    assert official_cosine(10, 100, 10) == 1


def test_settings_name_the_schedule():
    for step in (0, 3, 50):
        assert lr_factor(step, 100, Optimizer()) == warmup_cosine(step, 100, 0.1)
        assert lr_factor(step, 100, Optimizer(warmup=0.5)) == warmup_cosine(step, 100, 0.5)
        assert lr_factor(step, 100, Optimizer(warmup_steps=7)) == official_cosine(step, 100, 7)
        assert lr_factor(step, 100, Optimizer(warmup_epochs=2.5), 20) == official_cosine(step, 100, 12.5)


def test_one_warm_up():
    with pytest.raises(ConfigError, match=r"warmup=0\.5 and warmup_epochs=2: give one"):
        Optimizer(warmup=0.5, warmup_epochs=2)
