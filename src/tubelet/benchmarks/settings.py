"""What is measured and for how long; the same for every table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from tubelet.benchmarks.machine import Machine, matmul_peak
from tubelet.benchmarks.programs import Library, Program, measure_memory, write_model
from tubelet.benchmarks.turns import Spread, check_same, ratios, take_turns
from tubelet.models.config import ViViTConfig
from tubelet.models.cost import count_cost
from tubelet.models.variants import VARIANTS, variant

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
"""How far two libraries' answers may differ, as a share of the largest."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The defaults are the paper's models as the docs have them."""

    model: str = "b-16x2"
    """Model 1 of a named size; Models 2, 3 and 4 are those of the same size."""
    frames: int = 32
    """Frames of a clip."""
    size: int = 224
    """Pixels of the side of a frame."""
    blocks: int | None = None
    """Fewer blocks than the model has, to be done sooner. Default: all."""
    seconds: float = 60.0
    """How long each comparison may take; each has three rounds at least, and fifteen at most."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    videos: Path | None = None
    """A folder of videos to read. Default: videos that are made."""

    def config(self, suffix: str = "") -> ViViTConfig:
        """Of the model, or with a suffix such as `-fe` of its sibling."""
        config = variant(self.model + suffix)
        shape = replace(config, frames=self.frames, size=self.size)
        return shape if self.blocks is None else replace(shape, depth=self.blocks)

    def named(self, suffix: str = "") -> str:
        """What tables call the model, fewer blocks included."""
        return self.model + suffix + ("" if self.blocks is None else f" with {self.blocks} block(s)")

    def has(self, suffix: str) -> bool:
        """Whether there is such a sibling."""
        return self.model + suffix in VARIANTS

    def program(self, library: Library, folder: Path, **fields: Any) -> Program:
        """One of a library, with these settings."""
        return Program(
            library=library, folder=str(folder), frames=self.frames, size=self.size, device=self.device, **fields
        )  # fmt: skip

    def where(self) -> torch.device:
        """The device."""
        return torch.device(self.device)


@dataclass(frozen=True)
class Compared:
    """Programs that took turns, by name; the first is what the others are compared with."""

    seconds: Mapping[str, list[float]]
    difference: Mapping[str, float]

    def time(self, name: str) -> Spread:
        """Of one program."""
        return Spread.of(self.seconds[name])

    def faster(self, name: str) -> Spread:
        """How many times as fast as the first, round by round."""
        return ratios(next(iter(self.seconds.values())), self.seconds[name])


def compare(
    settings: Settings, programs: Mapping[str, Callable[[], Tensor]], tolerance: float | None
) -> Compared:
    """Check that programs compute the same (None: they do not, and are not checked), then let them take turns."""
    same: dict[str, float] = {}
    if tolerance is not None:
        for run in programs.values():
            run()  # the second loss of a training depends on its first step
        same = check_same({name: run() for name, run in programs.items()}, tolerance)
    seconds = take_turns(
        programs, budget_seconds=settings.seconds, device=settings.where(), warm=tolerance is not None
    )
    return Compared(seconds, same)


def memory_of(program: Program) -> Any:
    """Of a program in a process of its own, with as many threads as this one."""
    return measure_memory(program, torch.get_num_threads())


class Workplace:
    """Folders of models of random weights, for as long as a table is measured."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="tubelet-bench-")
        self.written: dict[ViViTConfig, Path] = {}

    def __enter__(self) -> "Workplace":
        """Nothing is written yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """All folders are removed."""
        self.folder.cleanup()

    def model(self, config: ViViTConfig) -> Path:
        """The folder of a model, written when it is first asked for."""
        if config not in self.written:
            self.written[config] = write_model(config, Path(self.folder.name, str(len(self.written))))
        return self.written[config]


@cache
def macs_of(config: ViViTConfig, training: bool = False, every_token: bool = False) -> int:
    """Multiply-adds of a clip; a backward pass has twice those of the forward pass.

    With `every_token` those are counted, too, that Tubelet leaves out and other libraries compute.
    """
    cost = count_cost(config)
    return (cost.macs if every_token else cost.computed_macs) * (3 if training else 1)


class Rates:
    """TFLOP/s, beside the best that the machine does in a precision, which is measured now."""

    def __init__(self, dtype: str, device: torch.device) -> None:
        self.peak = matmul_peak(getattr(torch, dtype), device)

    def cells(self, macs: int, seconds: float) -> tuple[str, str]:
        """TFLOP/s, and the share of the peak."""
        rate = 2 * macs / seconds
        return f"{rate / 1e12:.3f}", f"{rate / self.peak:.0%}"


def spread(value: Spread, unit: str = "") -> str:
    """A cell: the median, and the middle half in brackets."""
    digits = 0 if value.middle >= 100 else 1 if value.middle >= 10 else 2 if value.middle >= 0.1 else 4
    middle, low, high = (f"{number:.{digits}f}" for number in (value.middle, value.low, value.high))
    return f"{middle}{unit} ({low} to {high})"


def megabytes(value: int) -> str:
    """A cell."""
    return f"{value / 1e6:.0f} MB"


def machine_line() -> str:
    """Of this machine, now."""
    return str(Machine.here())
