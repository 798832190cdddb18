"""Programs compared in turn, A B A B: what else the machine does meanwhile slows all of them alike."""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor

from tubelet.errors import TubeletError


class DifferentAnswersError(TubeletError):
    """Programs that are to be compared do not compute the same function."""


@dataclass(frozen=True)
class Spread:
    """A median, and between which values the middle half lies."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of some values; of one or two there is no middle half but only their range."""
        if len(values) < 3:
            return cls(median(values), min(values), max(values))
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


def difference(reference: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the reference's largest value."""
    reference, other = reference.double(), other.double()
    return float((reference - other).abs().max() / reference.abs().max())


def check_same(answers: Mapping[str, Tensor], tolerance: float) -> dict[str, float]:
    """The `difference` of each from the first.

    Raises:
        DifferentAnswersError: where one is above the tolerance or no number.
    """
    (first, reference), *_ = answers.items()
    found = {name: difference(reference, answer) for name, answer in answers.items()}
    for name, value in found.items():
        if not value <= tolerance:
            raise DifferentAnswersError(
                f"{name} differs from {first} by {value:.2g} of the largest value, more than {tolerance:.2g}: "
                "they do not compute the same, and their times say nothing of each other."
            )
    return found


def take_turns(
    programs: Mapping[str, Callable[[], object]],
    *,
    budget_seconds: float,
    least: int = 3,
    most: int = 15,
    device: torch.device | None = None,
    warm: bool = False,
    cpu_time: bool = False,
) -> dict[str, list[float]]:
    """Seconds of each program in each round, all of them once a round.

    Each is first run once, uncounted (a compiled program compiles then); on a GPU three times.

    Args:
        programs: by name.
        budget_seconds: rounds go on while they fit into it, as judged by the first.
        least: rounds that are run anyhow.
        most: rounds that are enough.
        device: a GPU is timed by its own events; None is a CPU.
        warm: every program has run already, which on a CPU is enough.
        cpu_time: seconds that processors worked for it, in all threads and in processes that have ended, whatever
            else the machine did: the cost in cores, not the time until it is done.
    """
    gpu = device is not None and device.type == "cuda"
    for program in programs.values():
        for _ in range(3 if gpu else 0 if warm else 1):
            program()
    clock = on_gpu if gpu else on_cores if cpu_time else on_cpu
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    rounds = least
    done = 0
    while done < rounds:
        for name, program in programs.items():
            seconds[name].append(clock(program))
        done += 1
        if done == 1:
            taken = sum(times[0] for times in seconds.values())
            rounds = max(least, min(most, int(budget_seconds / max(taken, 1e-9))))
    return seconds


def on_cpu(program: Callable[[], object]) -> float:
    """Wall-clock seconds."""
    begun = time.perf_counter()
    program()
    return time.perf_counter() - begun


def on_cores(program: Callable[[], object]) -> float:
    """Processor seconds, of the processes that it started and waited for too."""
    begun = cpu_seconds()
    program()
    return cpu_seconds() - begun


def cpu_seconds() -> float:
    """That this process and those that it waited for have worked so far."""
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def on_gpu(program: Callable[[], object]) -> float:
    """Seconds between two events around it on the GPU."""
    before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    before.record()
    program()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / 1000


def ratios(reference: Sequence[float], other: Sequence[float]) -> Spread:
    """How many times as fast the other is, round by round."""
    return Spread.of([r / o for r, o in zip(reference, other, strict=True)])
