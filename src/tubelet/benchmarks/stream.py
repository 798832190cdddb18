"""What an answer of a stream costs: the whole window again, or each tubelet once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Settings, Workplace, compare, machine_line, macs_of, spread
from tubelet.classifier import Classifier
from tubelet.loading import load
from tubelet.models.config import ViViTConfig
from tubelet.streaming.engine import Engine
from tubelet.streaming.windows import ArrivedWindow

TOLERANCE = 1e-4
"""How far the answers of both ways may differ, as a share of the largest."""
HOPS = (1, 4)
"""In tubelets."""


def stream_table(settings: Settings) -> Record:
    """Answers of Model 2 to window after window, both ways in turn."""
    begun, machine = time.perf_counter(), machine_line()
    config = settings.config("-fe")
    tubelets, frames = config.grid[0], config.tubelet[0]
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    with Workplace() as place:
        classifier = load(place.model(config)).to(settings.device)
        for hop in (hop for hop in HOPS if hop < tubelets):
            programs = {
                "the whole window": whole(classifier, hop * frames),
                "each tubelet once": once(classifier, hop * frames),
            }
            found = compare(settings, programs, TOLERANCE)
            measured[f"hop {hop}"] = {"seconds": found.seconds, "difference": dict(found.difference)}
            for number, name in enumerate(programs):
                rows.append(
                    (
                        "" if number else f"{hop} of {tubelets} tubelets",
                        name,
                        spread(found.time(name), " s"),
                        spread(found.faster(name), "x") if number else "",
                        f"{predicted(config, hop):.1f}x" if number else "",
                        f"{found.difference[name]:.0e}" if number else "",
                    )
                )
    return Record(
        name="stream",
        title="An answer of a stream",
        about=(
            f"`tubelet bench stream`: {settings.named('-fe')}, windows of {settings.frames} frames of "
            f"{settings.size}x{settings.size} pixels, from 8-bit frames that are there already to logits, "
            "float32. *Predicted* is the ratio of the multiply-adds: those of the new tubelets and of the temporal "
            "encoder, against all of them."
        ),
        columns=("hop", "way", "time", "times as fast", "predicted", "difference"),
        rows=rows,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def windows_of(classifier: Classifier, hop: int) -> Iterator[ArrivedWindow]:
    """One window after the other, so many frames apart, of random pictures that come again after some time."""
    view = classifier.view
    generator = torch.Generator().manual_seed(2)
    shape = (2 * view.frames + 1, view.channels, view.height, view.width)
    pool = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    for first in count(0, hop):
        numbers = tuple(range(first, first + view.frames))
        yield ArrivedWindow(
            numbers=numbers,
            pixels=tuple(pool[n % len(pool)] for n in numbers),
            start_seconds=float(first),
            end_seconds=float(first + view.frames),
            stretch=0,
        )


def once(classifier: Classifier, hop: int) -> Callable[[], Tensor]:
    """Answers the next window, as a stream does."""
    engine, windows = Engine(classifier, hop), windows_of(classifier, hop)
    return lambda: engine.logits([next(windows)])


def whole(classifier: Classifier, hop: int) -> Callable[[], Tensor]:
    """Answers the next window as if nothing was known of it."""
    windows = windows_of(classifier, hop)

    @torch.inference_mode()
    def answer() -> Tensor:
        pixels = torch.stack(next(windows).pixels)[None].to(classifier.device)
        return classifier.model(classifier.view.normalise(pixels).to(classifier.dtype)).float().cpu()

    return answer


def predicted(config: ViViTConfig, hop: int) -> float:
    """How many times fewer multiply-adds an answer takes with so many new tubelets."""
    total, spatial = macs_of(config), macs_of(replace(config, temporal_depth=0))
    return total / (spatial * hop / config.grid[0] + total - spatial)
