"""What a model costs as it is another of the four, or as the work grows; and what starting costs."""

import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

from tubelet.benchmarks.programs import Program
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Rates, Settings, Workplace, compare, machine_line, macs_of, spread
from tubelet.benchmarks.turns import Spread, take_turns
from tubelet.models.config import ViViTConfig

MODELS = {"Model 1": "", "Model 2": "-fe", "Model 3": "-fsa", "Model 4": "-fdp"}


def models_table(settings: Settings) -> Record:
    """Answers of the four models, one clip, beside what their multiply-adds predict."""
    begun, machine = time.perf_counter(), machine_line()
    rates = Rates("float32", settings.where())
    configs = {name: settings.config(suffix) for name, suffix in MODELS.items() if settings.has(suffix)}
    with Workplace() as place:
        programs = {name: settings.program("Tubelet", place.model(c)).build() for name, c in configs.items()}
        found = compare(settings, programs, None)
    first, *_ = MODELS
    rows: list[tuple[str, ...]] = []
    for name, config in configs.items():
        share = Spread.of(
            [own / joint for own, joint in zip(found.seconds[name], found.seconds[first], strict=True)]
        )
        predicted = macs_of(config) / macs_of(configs[first])
        rows.append(
            (
                name,
                f"{macs_of(config) / 1e9:.1f}",
                spread(found.time(name), " s"),
                spread(share),
                f"{predicted:.2f}",
                f"{share.middle / predicted:.2f}",
                *rates.cells(macs_of(config), found.time(name).middle),
            )
        )
    return Record(
        name="models",
        title="The four models",
        about=f"`tubelet bench models`: {settings.named()} and its siblings, one clip of {settings.frames} frames of "
        f"{settings.size}x{settings.size} pixels, float32. *Predicted* is the share of Model 1's multiply-adds.",
        columns=(
            "model", "GMACs", "time", "of Model 1's", "predicted", "time over predicted", "TFLOP/s", "of the peak",
        ),
        rows=rows,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured={"seconds": found.seconds, "peak_flops": rates.peak},
    )  # fmt: skip


def growth_table(settings: Settings) -> Record:
    """Answers as frames, pixels and views grow, beside what their multiply-adds predict."""
    begun, machine = time.perf_counter(), machine_line()
    base = replace(settings, model="ti-16x2", blocks=settings.blocks or 3)
    rates = Rates("float32", settings.where())
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    grown = {
        "frames": [(n, replace(base, frames=n), 1) for n in (16, 32, 64, 128, 256)],
        "size": [(n, replace(base, size=n), 1) for n in (112, 160, 224, 320, 448)],
        "views": [(n, base, n) for n in (1, 3, 4, 12)],
    }
    with Workplace() as place:
        for model, suffix in (("Model 1", ""), ("Model 2", "-fe")):
            for what, steps in grown.items():
                before: tuple[int, float] | None = None
                for value, here, batch in steps:
                    seconds, macs = answer_seconds(here, here.config(suffix), batch, place)
                    measured[f"{model}, {what} {value}"] = seconds
                    middle = Spread.of(seconds).middle
                    grew = "" if before is None else f"{middle / before[1]:.2f}x"
                    predicted = "" if before is None else f"{macs / before[0]:.2f}x"
                    rows.append(
                        (
                            f"{model}, {what} {value}", f"{macs / 1e9:.1f}", f"{middle:.3g} s", grew, predicted,
                            *rates.cells(macs, middle),
                        )
                    )  # fmt: skip
                    before = macs, middle
    return Record(
        name="growth",
        title="Cost as the work grows",
        about=f"`tubelet bench growth`: Ti-16x2 with {base.blocks} blocks, Models 1 and 2, from {base.frames} frames "
        f"of {base.size}x{base.size} pixels and one view. *Grew* is the time over that of the row before, "
        "*predicted* the same of the multiply-adds.",
        columns=("work", "GMACs", "time", "grew", "predicted", "TFLOP/s", "of the peak"),
        rows=rows,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured={"seconds": measured, "peak_flops": rates.peak},
    )


def answer_seconds(
    settings: Settings, config: ViViTConfig, batch: int, place: Workplace
) -> tuple[list[float], int]:
    """Seconds of some rounds, and the multiply-adds of the batch."""
    program: Program = settings.program("Tubelet", place.model(config), batch=batch)
    seconds = take_turns(
        {"": program.build()}, budget_seconds=settings.seconds / 30, least=1, most=5, device=settings.where()
    )
    return seconds[""], batch * macs_of(config)


COMMANDS: dict[str, list[str]] = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "tubelet --help": ["-m", "tubelet.cli", "--help"],
    "import tubelet": ["-c", "import tubelet"],
    "import tubelet, its model": ["-c", "import tubelet; tubelet.ViViT"],
    "import tubelet, everything": [
        "-c",
        "import tubelet; [getattr(tubelet, name) for name in tubelet.__all__]",
    ],
}


def startup_table(settings: Settings) -> Record:
    """From the shell to a first line of one's own."""
    begun, machine = time.perf_counter(), machine_line()

    def process(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)

    programs = {name: partial(process, arguments) for name, arguments in COMMANDS.items()}
    seconds = take_turns(programs, budget_seconds=settings.seconds)
    rows: list[tuple[str, ...]] = []
    for name in COMMANDS:
        over = Spread.of(
            [own / torch for own, torch in zip(seconds[name], seconds["import torch"], strict=True)]
        )
        rows.append((name, spread(Spread.of(seconds[name]), " s"), spread(over)))
    return Record(
        name="startup",
        title="Starting",
        about="`tubelet bench startup`: processes from start to end, in turn.",
        columns=("command", "time", "of importing torch"),
        rows=rows,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured={"seconds": seconds},
    )
