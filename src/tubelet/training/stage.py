"""The stages of a run: what a model sees, what of it learns, and where unreadable clips are named."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from tubelet.data.dataset import Batch, ClipDataset, EpochSampler, batches, mix
from tubelet.data.source import Sample
from tubelet.errors import DataError
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer, Train
from tubelet.training.folder import RunFolder
from tubelet.training.frozen import Stored, calibrate, common, logits_of, sine_positions, store
from tubelet.training.mirror import Mirror

Shown = tuple[Tensor, Tensor]
"""What a stage's model half takes, on the device, and targets `(B, sum(classes))`, NaN where nobody said."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run with one optimizer and one schedule."""

    name: str
    epochs: int
    optimizer: Optimizer
    steps_per_epoch: int
    training: Callable[[int], Iterable[Shown]]
    """The batches of an epoch."""
    held_out: Callable[[], Iterable[Shown]]
    """The validation batches."""
    forward: Callable[[Tensor], Tensor]
    """To logits `(B, sum(classes))`."""
    learning: torch.nn.Module
    """What is put in training mode."""
    group_size: int
    """Inputs of a replica group."""
    mixup: float | None = None
    """As `Train.mixup`."""
    cutmix: float | None = None
    """As `Train.cutmix`."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The clips of one split, loaded by workers that outlive an epoch and keep what they have decoded."""

    samples: list[Sample]
    loader: DataLoader[Batch]
    sampler: EpochSampler

    @classmethod
    def open(cls, run: Train, split: str, pin_memory: bool) -> Self:
        """Random views in a random order for `train`, the middle view in order for anything else."""
        samples = list(run.data.samples(split))
        training = split == "train"
        labels, clips = run.data.labels, run.clips_per_video if training else 1
        dataset = ClipDataset(
            samples,
            run.view,
            views=None if training else "1x1",
            seed=run.seed,
            clips=clips,
            mirror=Mirror.of(labels, run.flip_swaps) if training and run.flip_swaps else None,
            keep_decoded=run.keep_decoded,
            labels=labels,
        )
        loader, sampler = batches(
            dataset, run.batch_size // clips, shuffle=training, workers=run.workers, pin_memory=pin_memory
        )
        return cls(samples=samples, loader=loader, sampler=sampler)


class Names:
    """Unreadable clips, each named and counted once."""

    def __init__(self, folder: RunFolder, console: Console) -> None:
        self.folder, self.console = folder, console
        self.known: set[str] = set()

    def note(self, samples: list[Sample], errors: Iterable[tuple[int, str]]) -> None:
        """Say and log those that are new."""
        for number, why in errors:
            name = samples[number].name
            if name not in self.known:
                self.known.add(name)
                self.console.print(
                    f"[yellow]Unreadable, left out ({len(self.known)} so far):[/] {escape(name)}: {escape(why)}"
                )
                self.folder.log(event="unreadable", video=name, error=why)


def frozen_stage(
    run: Train,
    model: ViViT,
    splits: dict[str, Split],
    device: torch.device,
    names: Names,
    fresh: bool,
    console: Console,
) -> Stage:
    """The stage on stored frame vectors: see them all once, calibrate, and train the rest of the model."""
    settings = run.frozen
    assert settings is not None

    def see(split: str, draw: int) -> Stored:
        splits[split].sampler.epoch = draw
        title = f"Frame vectors, {split}, view {draw + 1}"
        shown = track(splits[split].loader, title, disable=console.quiet, transient=True)
        stored = store(model, run.view, shown, device, run.precision == "bf16")
        names.note(splits[split].samples, stored.errors)
        if not len(stored.vectors):
            raise DataError(f"None of the {len(splits[split].samples)} {split} clips can be read.")
        return stored

    draws = common([see("train", draw) for draw in range(settings.draws)])
    held = see("val", 0)
    if settings.calibrate and fresh:  # a resumed model is calibrated already
        mean, std = (x.cpu() for x in calibrate(model, torch.stack([d.vectors for d in draws])))
        draws = [replace(d, vectors=(d.vectors - mean) / std) for d in draws]
        held = replace(held, vectors=(held.vectors - mean) / std)
    if settings.sine_positions and fresh:
        sine_positions(model)
    count = len(draws[0].vectors)
    learning = torch.nn.ModuleList(
        part for part in (model.temporal, model.representation, model.head) if part is not None
    )
    model.requires_grad_(False)
    learning.requires_grad_(True)

    def training(epoch: int) -> Iterator[Shown]:
        generator = torch.Generator().manual_seed(mix(run.seed, epoch))
        order = torch.randperm(count, generator=generator)
        which = torch.randint(settings.draws, (count,), generator=generator)
        for chosen in order.split(settings.batch_size):
            picked = torch.stack([draws[int(which[i])].vectors[i] for i in chosen])
            yield picked.to(device), draws[0].targets[chosen].to(device)

    def held_out() -> Iterator[Shown]:
        for vectors, targets in zip(held.vectors.split(256), held.targets.split(256), strict=True):
            yield vectors.to(device), targets.to(device)

    return Stage(
        name="frozen",
        epochs=settings.epochs,
        optimizer=settings.optimizer,
        steps_per_epoch=math.ceil(count / settings.batch_size),
        training=training,
        held_out=held_out,
        forward=lambda vectors: logits_of(model, vectors),
        learning=learning,
        group_size=settings.batch_size,
    )


def main_stage(
    run: Train,
    model: ViViT,
    splits: dict[str, Split],
    device: torch.device,
    names: Names,
    fresh: bool,
    console: Console,
) -> Stage:
    """The stage on videos: the whole model, or its last `trainable_blocks`."""
    if run.lora is None:  # else all but the adapters and the head is frozen already
        freeze(model, run.trainable_blocks)
    draws = 0 if run.frozen is None else run.frozen.draws  # their views have been seen

    def shown(split: str, title: str) -> Iterator[Shown]:
        for batch in track(splits[split].loader, title, disable=console.quiet, transient=True):
            names.note(splits[split].samples, batch.errors)
            if batch.indices:
                yield run.view.finish(batch.pixels.to(device), batch.colour), batch.targets.to(device)

    def training(epoch: int) -> Iterator[Shown]:
        splits["train"].sampler.epoch = draws + epoch
        yield from shown("train", f"Epoch {epoch + 1} of {run.epochs}")

    return Stage(
        name="main",
        epochs=run.epochs,
        optimizer=run.optimizer,
        steps_per_epoch=len(splits["train"].loader),
        training=training,
        held_out=lambda: shown("val", "Validation"),
        forward=model,
        learning=model,
        group_size=run.batch_size // run.replicas,
        mixup=run.mixup,
        cutmix=run.cutmix,
    )


def freeze(model: ViViT, trainable_blocks: int | None) -> None:
    """Let the last blocks of the backbone learn, and everything above them; None: the whole model."""
    model.requires_grad_(True)
    backbone = model.spatial if model.spatial is not None else model.encoder
    assert backbone is not None, "every model has a backbone"
    if trainable_blocks is not None:
        model.embedding.requires_grad_(False)
        backbone.requires_grad_(False)
        for block in list(backbone.blocks)[len(backbone.blocks) - trainable_blocks :]:
            block.requires_grad_(True)
        backbone.norm.requires_grad_(True)
