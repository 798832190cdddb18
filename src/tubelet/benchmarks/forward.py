"""Forward and training step of Model 1 beside other libraries, with the same weights and clips."""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tubelet.benchmarks.programs import Library, Program, is_installed
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import (
    TOLERANCE,
    Compared,
    Rates,
    Settings,
    Workplace,
    compare,
    machine_line,
    macs_of,
    megabytes,
    memory_of,
    spread,
)
from tubelet.models.config import ViViTConfig
from tubelet.precision import fastest_precision

COLUMNS = (
    "case", "program", "time", "times as fast", "TFLOP/s", "of the peak", "peak memory", "of the first's",
    "difference",
)  # fmt: skip
ABSENT = "{} is not installed here, so its rows are missing: pip install {}."


def compared_rows(
    settings: Settings,
    case: str,
    programs: dict[str, Program],
    config: ViViTConfig,
    tolerance: float | None,
    rates: Rates,
    built: Callable[[Program], Callable[[], Tensor]] = Program.build,
) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Rows of one comparison, and its numbers. The first program is what the others are compared with."""
    gc.collect()
    found: Compared = compare(settings, {n: built(p) for n, p in programs.items()}, tolerance)
    gc.collect()
    memory = {name: None if p.compiled else memory_of(p) for name, p in programs.items()}
    first = next(iter(memory.values()))
    rows: list[tuple[str, ...]] = []
    for number, (name, program) in enumerate(programs.items()):
        held = memory[name]
        macs = program.batch * macs_of(config, program.training, every_token=program.library != "Tubelet")
        rows.append(
            (
                "" if number else case,
                name,
                spread(found.time(name), " s"),
                spread(found.faster(name), "x") if number else "",
                *rates.cells(macs, found.time(name).middle),
                "" if held is None else megabytes(held.peak),
                "" if held is None or first is None or not number else f"{held.peak / first.peak:.2f}",
                f"{found.difference[name]:.0e}" if number and found.difference else "",
            )
        )
    numbers = {
        "seconds": found.seconds,
        "difference": dict(found.difference),
        "peak_flops": rates.peak,
        "memory": {n: None if m is None else [m.imported, m.peak] for n, m in memory.items()},
    }
    return rows, numbers


def forward_table(settings: Settings) -> Record:
    """Answers of Model 1, batch 1 and 4, float32 and bfloat16, plain and compiled."""
    begun, machine = time.perf_counter(), machine_line()
    config, device = settings.config(), settings.where()
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    peer = is_installed("transformers")
    # Where bfloat16 has no hardware, one row shows what it costs, and no more time is spent.
    quick_bf16 = fastest_precision(device).dtype == torch.bfloat16
    with Workplace() as place:
        folder = place.model(config)
        for dtype, batches in (("float32", (1, 4)), ("bfloat16", (1, 4) if quick_bf16 else (1,))):
            rates = Rates(dtype, device)
            for batch in batches:
                libraries: tuple[Library, ...] = ("transformers", "Tubelet") if peer else ("Tubelet",)
                compiled = (False, True) if batch == 1 and (dtype == "float32" or quick_bf16) else (False,)
                programs = {
                    f"{library}, compiled" if fast else library: settings.program(
                        library, folder, batch=batch, dtype=dtype, compiled=fast
                    )
                    for fast in compiled
                    for library in libraries
                }
                case = f"batch {batch}, {dtype}"
                new, measured[case] = compared_rows(settings, case, programs, config, TOLERANCE[dtype], rates)
                rows += new
    return Record(
        name="forward",
        title="Forward pass of Model 1",
        about=(
            f"`tubelet bench forward`: {settings.named()}, {settings.frames} frames of "
            f"{settings.size}x{settings.size} pixels, the same random weights read from the same folder by both "
            "libraries. Memory is the most that a "
            "process of its own holds which imports, loads and runs it, everything counted. *compiled* is "
            "`torch.compile` with its defaults. Of the last block Tubelet computes what the class token needs and "
            "no more; TFLOP/s are of what each computes."
        ),
        columns=COLUMNS,
        rows=rows,
        notes=[
            f'`dtype="auto"` is {str(fastest_precision(device).dtype).removeprefix("torch.")} here: '
            f"{fastest_precision(device).reason}.",
            *([] if peer else [ABSENT.format("transformers", "transformers")]),
        ],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def training_table(settings: Settings) -> Record:
    """A step of Models 1 and 2, with and without checkpointing."""
    begun, machine = time.perf_counter(), machine_line()
    device = settings.where()
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    peer = is_installed("transformers")
    rates = Rates("float32", device)
    with Workplace() as place:
        joint = place.model(settings.config())
        for checkpointing in (False, True):
            libraries: tuple[Library, ...] = ("transformers", "Tubelet") if peer else ("Tubelet",)
            programs = {
                library: settings.program(library, joint, training=True, checkpointing=checkpointing)
                for library in libraries
            }
            if not checkpointing:
                programs["Tubelet, compiled"] = settings.program(
                    "Tubelet", joint, training=True, compiled=True
                )
            case = "Model 1, checkpointing" if checkpointing else "Model 1"
            new, measured[case] = compared_rows(settings, case, programs, settings.config(), 1e-3, rates)
            rows += new
        encoder = settings.config("-fe")
        programs = {"Tubelet": settings.program("Tubelet", place.model(encoder), training=True)}
        new, measured["Model 2"] = compared_rows(settings, "Model 2", programs, encoder, None, rates)
        rows += new
    return Record(
        name="training",
        title="A step of training",
        about=(
            f"`tubelet bench training`: {settings.named()}, one clip of {settings.frames} frames of "
            f"{settings.size}x{settings.size} pixels, float32: forward, cross-entropy, backward, SGD with momentum, "
            "by the same loop. The difference is that of the loss after a step. TFLOP/s leave out what checkpointing "
            "computes again. transformers has no Model 2. Memory is that of a process of its own, with weights and "
            "momentum."
        ),
        columns=COLUMNS,
        rows=rows,
        notes=[] if peer else [ABSENT.format("transformers", "transformers")],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def encoder_table(settings: Settings) -> Record:
    """Answers of Model 2 beside vit-pytorch's, which is another function of equal size."""
    begun, machine = time.perf_counter(), machine_line()
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    peer = is_installed("vit-pytorch")
    config = settings.config("-fe")
    with Workplace() as place:
        folder = place.model(config)
        libraries: tuple[Library, ...] = ("vit-pytorch", "Tubelet") if peer else ("Tubelet",)
        programs = {
            f"{library}, compiled" if fast else library: settings.program(library, folder, compiled=fast)
            for fast in (False, True)
            for library in libraries
        }
        rates = Rates("float32", settings.where())
        rows, measured = compared_rows(settings, "batch 1, float32", programs, config, None, rates)
    return Record(
        name="encoder",
        title="Forward pass of Model 2",
        about=(
            f"`tubelet bench encoder`: {settings.named('-fe')}, {settings.frames} frames of "
            f"{settings.size}x{settings.size} pixels. vit-pytorch's factorised encoder is another function: of equal "
            "width, depth and heads, without biases of query, key and value and with two norms more; so answers are "
            "not compared, and its multiply-adds are those of ours with every token of the last block computed."
        ),
        columns=COLUMNS,
        rows=rows,
        notes=[] if peer else [ABSENT.format("vit-pytorch", "vit-pytorch")],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )
