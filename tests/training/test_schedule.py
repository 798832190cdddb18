import pytest

from tubelet.training.schedule import warmup_cosine


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
