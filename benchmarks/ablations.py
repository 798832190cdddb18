"""What each ingredient of the recipe for few clips gives: words read from lips, one thing changed at a time.

`python benchmarks/ablations.py GRID_WORDS_CSV DEIT_FILE --json benchmarks/ablations.json` decodes every word once,
stores frame vectors of several random views of each (of the image ViT's first three blocks as they are, of the same
with tubelets of two frames, and of new ones), and trains a temporal encoder and a head on them for each row: the
frozen stage of `tubelet train`, its own steps. Validation clips, the last epoch, no choosing among epochs.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table as RichTable
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from words import words

import tubelet
from tubelet.data import Table
from tubelet.data.dataset import ClipDataset, mix
from tubelet.models.vivit import ViViT
from tubelet.training import Optimizer
from tubelet.training.frozen import calibrate, sine_positions
from tubelet.training.optimizer import build_optimizer, set_lr
from tubelet.training.schedule import lr_factor
from tubelet.training.step import Group, Learning, Step
from tubelet.weights.start import Start

VIEW = tubelet.View(
    frames=18, uniform=True, size=(64, 96), fit="squash", resize=(73, 110), region=(0.31, 0.07, 0.88, 0.93),
    trim=0.05, flip=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
)  # fmt: skip
MARGIN_SECONDS = 0.28
"""Seven frames."""
BATCH = 32
TEST_VIEWS = "4x1"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training: what is changed from the recipe."""

    name: str
    vectors: str = "as it is"
    """Of which spatial encoder."""
    draws: int | None = None
    """How many of the stored views it may use; None: all."""
    calibrated: bool = True
    sines: bool = True
    lr: float = 3e-3
    learning: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of `Learning`."""
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the model's config."""


ROWS = (
    Row(name="the recipe"),
    Row(name="without centre_frames", config={"centre_frames": False}),
    Row(name="without calibration", calibrated=False),
    Row(name="without sines as first positions", sines=False),
    Row(name="without any of the three", calibrated=False, sines=False, config={"centre_frames": False}),
    Row(name="one stored view", draws=1),
    Row(name="a new spatial encoder in place of the image ViT's", vectors="new"),
    Row(name="tubelets of two frames, central frame", vectors="central_frame"),
    Row(name="tubelets of two frames, average", vectors="average"),
    Row(name="four temporal blocks in place of two", config={"temporal_depth": 4}),
    Row(name="a rate of 1e-3 in place of 3e-3", lr=1e-3),
    Row(name="mixup 0.3", learning={"mixup": 0.3}),
    Row(name="label smoothing 0.1", learning={"label_smoothing": 0.1}),
    Row(name="stochastic depth 0.2", config={"drop_path": 0.2}),
    Row(name="dropout 0.1", config={"dropout": 0.1}),
)  # fmt: skip


def encoders(file: Path, source: Table) -> dict[str, ViViT]:
    """Model 2 with the image ViT's first three blocks in space, in its several ways."""

    def started(tubelet_frames: int, start: Start) -> ViViT:
        config = tubelet.start_config(
            file, frames=18, size=(64, 96), tubelet=(tubelet_frames, 16, 16), depth=3, temporal_depth=2,
            attention="factorised_encoder", centre_frames=True, classes=source.labels.classes, pool="mean",
        )  # fmt: skip
        return tubelet.start_from(file, config, rules=start, labels=source.labels).model.eval()

    base = started(1, Start())
    return {
        "as it is": base,
        "new": ViViT(base.config, torch.Generator().manual_seed(0)).eval(),
        "central_frame": started(2, Start(inflation="central_frame")),
        "average": started(2, Start(inflation="average")),
    }


@dataclass
class Vectors:
    """Of a split: for each way of looking `(views, N, T, D)`; the classes `(N,)`."""

    by: dict[str, Tensor]
    classes: Tensor


@torch.no_grad()
def stored(
    source: Table, split: str, models: dict[str, ViViT], draws: int | None, few: int | None
) -> Vectors:
    """Frame vectors of random views (None: of test views), each clip decoded once for all."""
    samples = list(source.samples(split))[:few]
    views = None if draws else TEST_VIEWS
    dataset = ClipDataset(samples, VIEW, views=views, seed=0, clips=draws or 1)
    count = draws or math.prod(int(number) for number in TEST_VIEWS.split("x"))
    # Filled in place: many small results between large ones would keep the memory of these from being used again.
    found = {
        name: torch.empty(count, len(samples), model.config.grid[0], model.config.width)
        for name, model in models.items()
    }
    classes: list[int] = []
    for number, sample in enumerate(track(samples, f"Frame vectors, {split}")):
        clip = dataset[number]
        if clip.pixels is None:
            raise SystemExit(clip.error)
        pixels = VIEW.normalise(clip.pixels)
        for name, model in models.items():
            found[name][:, number] = model.frame_vectors(pixels)
        classes.append(int(sample.labels[0]))  # pyright: ignore[reportArgumentType]
    return Vectors(found, torch.tensor(classes))


def batches(count: int, draws: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips, and which view of each: an epoch."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=generator)
    which = torch.randint(draws, (count,), generator=generator)
    yield from zip(order.split(BATCH), which[order].split(BATCH), strict=True)


def train(
    row: Row, model: ViViT, source: Table, seen: Vectors, held: Vectors, epochs: int, seed: int
) -> dict[str, float]:
    """Train a row's temporal encoder and head; the loss and top-1 of the held-out clips."""
    torch.manual_seed(seed)
    vectors, others = seen.by[row.vectors][: row.draws], held.by[row.vectors]
    fresh = ViViT(replace(model.config, **row.config), torch.Generator().manual_seed(seed))
    fresh.load_state_dict(
        {n: v for n, v in model.state_dict().items() if n.startswith(("embedding", "spatial"))}, strict=False
    )
    if row.calibrated:
        mean, std = calibrate(fresh, vectors)
        vectors, others = (vectors - mean) / std, (others - mean) / std
    if row.sines:
        sine_positions(fresh)
    assert fresh.temporal is not None
    learning = nn.ModuleList([fresh.temporal, fresh.head])
    fresh.requires_grad_(False)
    learning.requires_grad_(True)
    settings = Optimizer(lr=row.lr)
    step = Step(
        learning, lambda z: fresh.head(fresh.features_of_frames(z)), build_optimizer(fresh, settings),
        Learning(labels=source.labels, optimizer=settings, seed=seed, **row.learning),
    )  # fmt: skip
    targets = source.labels.targets([(int(label),) for label in seen.classes])
    total, number = epochs * math.ceil(len(targets) / BATCH), 0
    last = 0.0
    for epoch in range(epochs):
        fresh.train()
        losses: list[float] = []
        for chosen, which in batches(len(targets), len(vectors), mix(seed, epoch)):
            set_lr(step.optimizer, settings.lr * lr_factor(number, total, settings))
            group = Group(number=0, inputs=vectors[which, chosen], targets=targets[chosen])
            losses += [one.loss for one in step(number, [group], 1)]
            number += 1
        last = sum(losses) / len(losses)
    fresh.eval()
    with torch.inference_mode():
        each = torch.stack([fresh.head(fresh.features_of_frames(view)) for view in others])
    first, mean_of_views = each[len(each) // 2], each.mean(dim=0)
    return {
        "training loss": last,
        "validation loss": float(cross_entropy(first, held.classes)),
        "top-1": float((first.argmax(1) == held.classes).double().mean()),
        f"top-1, mean of {TEST_VIEWS}": float((mean_of_views.argmax(1) == held.classes).double().mean()),
    }


def main() -> None:
    """Store, train each row, print a table, write JSON after every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", type=Path)
    parser.add_argument("init", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--few", type=int, help="only so many clips of each split, to try it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    source = words(arguments.words, MARGIN_SECONDS)
    models = encoders(arguments.init, source)
    begun = time.perf_counter()
    seen = stored(source, "train", models, arguments.draws, arguments.few)
    held = stored(source, "val", models, None, arguments.few)
    print(f"stored in {time.perf_counter() - begun:.0f} s", flush=True)
    found: dict[str, list[dict[str, float]]] = {}
    for row in ROWS:
        found[row.name] = [
            train(row, models[row.vectors], source, seen, held, arguments.epochs, seed)
            for seed in range(arguments.seeds)
        ]
        print(row.name, found[row.name], flush=True)
        if arguments.json is not None:
            said = {
                "epochs": arguments.epochs,
                "draws": arguments.draws,
                "torch": torch.__version__,
                "rows": found,
            }
            arguments.json.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    table = RichTable(title="One ingredient changed at a time")
    columns = list(next(iter(found.values()))[0])
    for column in ("", *columns):
        table.add_column(column)
    for name, each in found.items():
        table.add_row(name, *(f"{sum(one[column] for one in each) / len(each):.3f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
