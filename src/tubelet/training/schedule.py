"""The learning rate over a run."""

import math

from tubelet.training.optimizer import Optimizer


def lr_factor(step: int, steps: int, settings: Optimizer, epochs: int = 1) -> float:
    """Factor on the highest rate at a step of a run, by the schedule that the settings name.

    Args:
        step: from 0 on.
        steps: of the run.
        settings: with one of `warmup`, `warmup_steps` and `warmup_epochs`, or none.
        epochs: of the run, for `warmup_epochs`.
    """
    if settings.warmup_epochs is not None:
        return official_cosine(step, steps, settings.warmup_epochs * steps / epochs)
    if settings.warmup_steps is not None:
        return official_cosine(step, steps, settings.warmup_steps)
    return warmup_cosine(step, steps, 0.1 if settings.warmup is None else settings.warmup)


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor on the highest rate: up in a line over the first `warmup` share of the steps, then half a cosine.

    Args:
        step: from 0 on; the factor is above 0 at every step of the run.
        steps: number of steps.
        warmup: share of the steps in [0, 1).
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def official_cosine(step: int, steps: int, warmup_steps: float) -> float:
    """The official 'constant * cosine_decay * linear_warmup', divided by its constant.

    Args:
        step: from 0 on; the factor is 0 there, so that the first update changes nothing.
        steps: length of the cosine, which starts again after it.
        warmup_steps: steps of the linear rise, not necessarily whole; the cosine begins when they are over, and
            only whole ones are taken off its length.
    """
    rising = min(1.0, step / warmup_steps)
    progress = max(0.0, step - warmup_steps) / max(steps - int(warmup_steps), 1)
    return rising * 0.5 * (1 + math.cos(math.pi * (progress % 1)))
