"""The learning rate over a run."""

import math


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
