"""The stages of a run, in their order: frozen, partial, main. What a model sees in each, and what of it learns."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import torch
from rich.progress import track
from torch import nn

from tubelet.data.dataset import Batch, mix
from tubelet.distributed import Processes, shard
from tubelet.errors import DataError
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer
from tubelet.training.frozen import Stored, calibrate, common, joined, sine_positions, store
from tubelet.training.stage import Portion, Shown, Stage, Work
from tubelet.training.step import Group


def frozen_stage(work: Work) -> Stage:
    """The stage on stored frame vectors: see them all once, calibrate, and train the rest of the model.

    The clips are divided among the processes; each then trains on all vectors by itself, which takes seconds.
    """
    run, model, device = work.run, work.model, work.who.device
    settings = run.frozen
    assert settings is not None

    def see(split: str, draw: int) -> Stored:
        chosen = work.splits[split]
        chosen.sampler.epoch, chosen.sampler.start = draw, 0
        title = f"Frame vectors, {split}, view {draw + 1}"
        shown = track(chosen.loader, title, disable=work.console.quiet, transient=True)
        own = store(model, run.view, shown, len(chosen.samples), device, run.autocast)
        stored = joined(work.who.gather(own))
        work.names.note(chosen.samples, stored.errors)
        if not len(stored.vectors):
            raise DataError(f"None of the {len(chosen.samples)} {split} clips can be read.")
        return stored

    draws = common([see("train", draw) for draw in range(settings.draws)])
    held = common([see("val", 0)])[0]
    if settings.calibrate:
        mean, std = (x.cpu() for x in calibrate(model, torch.stack([d.vectors for d in draws])))
        draws = [replace(d, vectors=(d.vectors - mean) / std) for d in draws]
        held = replace(held, vectors=(held.vectors - mean) / std)
    if settings.sine_positions:
        sine_positions(model)
    count = len(draws[0].vectors)
    learning = nn.ModuleList(
        part for part in (model.temporal, model.representation, model.head) if part is not None
    )
    model.requires_grad_(False)
    learning.requires_grad_(True)

    def training(epoch: int, start: int) -> Iterator[Portion]:
        generator = torch.Generator().manual_seed(mix(run.seed, epoch))
        order = torch.randperm(count, generator=generator)
        which = torch.randint(settings.draws, (count,), generator=generator)
        for chosen in order.split(settings.batch_size)[start:]:
            picked = torch.stack([draws[int(which[i])].vectors[i] for i in chosen])
            targets = torch.stack([draws[int(which[i])].targets[i] for i in chosen])
            group = Group(number=0, inputs=picked.to(device), targets=targets.to(device))
            yield Portion(groups=[group], clips=[len(chosen)])

    def held_out() -> Iterator[Shown]:
        for chosen in torch.arange(len(held.vectors)).split(256):
            inputs, targets = held.vectors[chosen].to(device), held.targets[chosen].to(device)
            yield Shown(indices=chosen.tolist(), inputs=inputs, targets=targets)

    return Stage(
        name="frozen",
        epochs=settings.epochs,
        optimizer=settings.optimizer,
        steps_per_epoch=math.ceil(count / settings.batch_size),
        who=Processes(device=device),
        training=training,
        held_out=held_out,
        forward=lambda vectors: model.head(model.features_of_frames(vectors)),
        learning=learning,
        mixup=settings.mixup,
    )


def partial_stage(work: Work) -> Stage:
    """The stage on videos in which the last blocks learn."""
    settings = work.run.partial
    assert settings is not None
    freeze(work.model, settings.blocks)
    return video_stage(work, "partial", settings.epochs, settings.optimizer, before=0)


def main_stage(work: Work) -> Stage:
    """The stage on videos: the whole model, or its last `trainable_blocks`."""
    run = work.run
    if run.lora is None:  # else all but the adapters and the head is frozen already
        freeze(work.model, run.trainable_blocks)
    return video_stage(work, "main", run.epochs, run.optimizer, before=run.on_videos - run.epochs)


def video_stage(work: Work, name: str, epochs: int, optimizer: Optimizer, before: int) -> Stage:
    """A stage on videos, of the parameters that require a gradient.

    Args:
        work: the run.
        name: of the stage.
        epochs: of the stage.
        optimizer: of the stage.
        before: epochs on videos before it.
    """
    run, model, who = work.run, work.model, work.who
    together = run.sharded and who.count > 1
    whole = deepcopy(model).cpu() if together and who.first else None
    if together:
        shard(model, blocks_of(model), who)
    before += 0 if run.frozen is None else run.frozen.draws  # their views have been seen too
    config = model.config
    nothing = torch.zeros(1, config.frames, config.channels, *config.pixels, device=who.device)
    unsaid = torch.full((1, sum(run.data.labels.classes)), torch.nan, device=who.device)

    def shown(split: str, batch: Batch) -> Shown | None:
        """A batch on the device; None where none of it can be read.

        Processes that compute together get one clip of nothing then: all of them must go through the model equally
        often.
        """
        work.names.note(work.splits[split].samples, batch.errors)
        if batch.indices:
            pixels = batch.pixels.to(who.device, non_blocking=True)
            inputs = run.view.finish(pixels, batch.colour)
            return Shown(indices=batch.indices, inputs=inputs, targets=batch.targets.to(who.device))
        return Shown(inputs=nothing, targets=unsaid) if together else None

    def training(epoch: int, start: int) -> Iterator[Portion]:
        sampler = work.splits["train"].sampler
        sampler.epoch, sampler.start = before + epoch, start
        loaded = iter(work.splits["train"].loader)
        for _ in range(start, sampler.steps):
            drawn = [(number, shown("train", next(loaded))) for number in sampler.mine]
            seen = [(number, one) for number, one in drawn if one is not None]
            groups = [Group(number=number, inputs=one.inputs, targets=one.targets) for number, one in seen]
            yield Portion(groups=groups, clips=[len(one.indices) * run.clips_per_video for _, one in seen])

    def held_out() -> Iterator[Shown]:
        loader = work.splits["val"].loader
        for batch in track(loader, "Validation", disable=work.console.quiet, transient=True):
            one = shown("val", batch)
            if one is not None:
                yield one

    return Stage(
        name=name,
        epochs=epochs,
        optimizer=optimizer,
        steps_per_epoch=work.splits["train"].sampler.steps,
        who=who,
        training=training,
        held_out=held_out,
        forward=torch.compile(model) if run.compile else model,
        learning=model,
        copy=whole,
        sharded=together,
        mixup=run.mixup,
        cutmix=run.cutmix,
    )


def blocks_of(model: ViViT) -> list[nn.Module]:
    """All blocks of all encoders."""
    encoders = (model.encoder, model.spatial, model.temporal)
    return [block for encoder in encoders if encoder is not None for block in encoder.blocks]


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
