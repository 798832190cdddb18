"""`train`: a run, from top to bottom."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from tubelet.classifier import Classifier
from tubelet.data.dataset import Batch, ClipDataset, EpochSampler, batches, mix
from tubelet.data.source import Sample
from tubelet.errors import DataError, TubeletError
from tubelet.evaluation.metrics import measure
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer, Train
from tubelet.training.folder import RunFolder
from tubelet.training.frozen import Stored, calibrate, common, logits_of, sine_positions, store
from tubelet.training.loss import balanced_weights, class_counts, cross_entropy, prior_entropy, verdict
from tubelet.training.optimizer import build_optimizer, set_lr
from tubelet.training.schedule import warmup_cosine
from tubelet.weights.start import start_from_image

Shown = tuple[Tensor, Tensor]
"""What a stage's model half takes, on the device, and targets `(B, heads)`."""


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


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: what a checkpoint keeps beside the weights."""

    stage: str = ""
    epoch: int = 0
    """Epochs of the stage that are done."""
    best_top1: float = -1.0
    best_loss: float = math.inf
    since_best: int = 0
    """Epochs of the stage since the best one."""
    train_loss: float = math.inf
    """Cross-entropy of the last epoch's training batches, without smoothing and weights."""


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
        dataset = ClipDataset(
            samples,
            run.view,
            views=None if training else "1x1",
            seed=run.seed,
            keep_decoded=run.keep_decoded,
        )
        loader, sampler = batches(
            dataset, run.batch_size, shuffle=training, workers=run.workers, pin_memory=pin_memory
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
                    f"[yellow]Unreadable, left out ({len(self.known)} so far):[/] {name}: {why}"
                )
                self.folder.log(event="unreadable", video=name, error=why)


def train(run: Train, progress: bool = True) -> Classifier:
    """Run a training, or go on with one that was interrupted.

    The folder `run.out` then holds the model of the epoch with the best validation accuracy
    (`tubelet.load(run.out)`), `run.json` (the settings), `log.jsonl` (a line for each epoch and event) and
    `last.pt` (from which the same run resumes after its last whole epoch).

    Args:
        run: the run.
        progress: show progress bars and a line for each epoch.

    Returns:
        The best model, with the run's view and the data's labels.

    Raises:
        ConfigError: if `run.out` holds anything but this run.
        DataError: if the data are not what they say, or none of them can be read.
        WeightsError: if the image ViT to start from does not fit.
        TubeletError: if the loss is no longer a number.
    """
    console = Console(quiet=not progress)
    labels = run.data.labels
    model = build_model(run)
    device = torch.device(
        run.device if run.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    )
    splits = {name: Split.open(run, name, device.type == "cuda") for name in ("train", "val")}
    folder = RunFolder.open(run)
    classifier = Classifier(model, run.view, labels).to(device)
    names = Names(folder, console)
    counts = class_counts(splits["train"].samples, labels)
    prior = prior_entropy(counts)
    console.print(
        f"{len(splits['train'].samples)} training and {len(splits['val'].samples)} validation clips, "
        f"{', '.join(f'{len(h.classes)} classes of {h.name}' for h in labels.heads)}; the class frequencies alone "
        f"give a loss of {prior:.3f}."
    )
    saved = folder.load(device)
    place = Progress()
    if saved is not None:
        place = Progress(**saved["progress"])
        model.load_state_dict(saved["model"])
        console.print(f"Resuming after epoch {place.epoch} of the {place.stage} stage.")
        folder.log(event="resumed", stage=place.stage, epoch=place.epoch)
    weights = [w.to(device) for w in balanced_weights(counts)] if run.class_weights == "balanced" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for name, build in (("frozen", frozen_stage), ("main", main_stage)):
            if (run.frozen is None and name == "frozen") or (run.epochs == 0 and name == "main"):
                continue
            if place.stage == "main" and name == "frozen":
                continue  # done before the interruption
            if place.stage != name:
                saved, place = None, replace(place, stage=name, epoch=0, since_best=0)
            stage = build(run, model, splits, device, names, place, console)
            run_stage(run, stage, classifier, folder, place, saved, weights, console)
    warning = verdict(place.train_loss, prior)
    if warning is not None:
        console.print(f"[bold red]{warning}[/]")
    folder.log(
        event="finished", best_top1=place.best_top1, best_loss=place.best_loss, train_loss=place.train_loss,
        prior_entropy=prior, warning=warning, unreadable=len(names.known),
    )  # fmt: skip
    return Classifier.load(run.out)


def build_model(run: Train) -> ViViT:
    """The model at the start of a run."""
    config = replace(run.model, classes=run.data.labels.classes)
    generator = torch.Generator().manual_seed(run.seed)
    if run.start is None:
        model = ViViT(config, generator)
    else:
        model, _ = start_from_image(config, run.start.file, run.start.rules, generator)
    model.checkpoint_activations(run.checkpoint_activations)
    return model


def frozen_stage(
    run: Train,
    model: ViViT,
    splits: dict[str, Split],
    device: torch.device,
    names: Names,
    place: Progress,
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
    if settings.calibrate and place.epoch == 0:  # a resumed model is calibrated already
        mean, std = (x.cpu() for x in calibrate(model, torch.stack([d.vectors for d in draws])))
        draws = [replace(d, vectors=(d.vectors - mean) / std) for d in draws]
        held = replace(held, vectors=(held.vectors - mean) / std)
    if settings.sine_positions and place.epoch == 0:
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
    )


def main_stage(
    run: Train,
    model: ViViT,
    splits: dict[str, Split],
    device: torch.device,
    names: Names,
    place: Progress,
    console: Console,
) -> Stage:
    """The stage on videos: the whole model, or its last `trainable_blocks`."""
    freeze(model, run.trainable_blocks)
    draws = 0 if run.frozen is None else run.frozen.draws  # their views have been seen

    def shown(split: str, title: str) -> Iterator[Shown]:
        for batch in track(splits[split].loader, title, disable=console.quiet, transient=True):
            names.note(splits[split].samples, batch.errors)
            if batch.indices:
                yield run.view.normalise(batch.pixels.to(device)), batch.labels.to(device)

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


def run_stage(
    run: Train,
    stage: Stage,
    classifier: Classifier,
    folder: RunFolder,
    place: Progress,
    saved: dict[str, Any] | None,
    weights: list[Tensor] | None,
    console: Console,
) -> None:
    """The epochs of one stage: learn, validate, keep the best, save where it stands."""
    optimizer = build_optimizer(classifier.model, stage.optimizer)
    if saved is not None:
        optimizer.load_state_dict(saved["optimizer"])
    for epoch in range(place.epoch, stage.epochs):
        if run.patience is not None and place.since_best >= run.patience:
            console.print(f"Stopped: no better epoch in the last {run.patience}.")
            break
        began = time.monotonic()
        torch.manual_seed(mix(run.seed, stage.name == "main", epoch))  # dropout: the same when resumed
        place.train_loss = learn(run, stage, classifier, optimizer, epoch, weights)
        top1, loss = validate(run, stage, classifier)
        place.epoch = epoch + 1
        best = (top1, -loss) > (place.best_top1, -place.best_loss)
        place.since_best = 0 if best else place.since_best + 1
        if best:
            place.best_top1, place.best_loss = top1, loss
            at = {"stage": stage.name, "epoch": place.epoch, "val_top1": top1, "val_loss": loss}
            classifier.write(folder.path, {"trained": at})
        folder.save(
            {
                "progress": vars(place),
                "model": classifier.model.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
        )
        folder.log(
            event="epoch", stage=stage.name, epoch=place.epoch, train_loss=place.train_loss, val_loss=loss,
            val_top1=top1, best=best, lr=optimizer.param_groups[0]["lr"], seconds=round(time.monotonic() - began, 1),
        )  # fmt: skip
        console.print(
            f"{stage.name} {place.epoch}/{stage.epochs}: training loss {place.train_loss:.3f}, validation loss "
            f"{loss:.3f}, top-1 {top1:.1%}{' (best)' if best else ''}"
        )


def learn(
    run: Train,
    stage: Stage,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    weights: list[Tensor] | None,
) -> float:
    """One epoch. Returns the mean cross-entropy of its batches, without smoothing and class weights."""
    classifier.model.eval()
    stage.learning.train()
    parameters = [p for p in classifier.model.parameters() if p.requires_grad]
    steps = stage.epochs * stage.steps_per_epoch
    total, clips = 0.0, 0
    for number, (inputs, targets) in enumerate(stage.training(epoch)):
        step = epoch * stage.steps_per_epoch + number
        set_lr(optimizer, stage.optimizer.lr * warmup_cosine(step, steps, stage.optimizer.warmup))
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
            logits = stage.forward(inputs)
        loss = cross_entropy(
            logits, targets, classifier.labels, smoothing=run.label_smoothing, weights=weights
        )
        if not math.isfinite(loss.item()):
            raise TubeletError(
                f"The loss is {loss.item()} at step {step} ({stage.name} stage): try a lower learning rate, a longer "
                "warm-up, or precision fp32. The last whole epoch is kept."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if stage.optimizer.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, stage.optimizer.clip_norm)
        optimizer.step()
        with torch.no_grad():
            total += len(targets) * cross_entropy(logits, targets, classifier.labels).item()
        clips += len(targets)
    if clips == 0:
        raise DataError("None of the training clips can be read.")
    return total / clips


@torch.no_grad()
def validate(run: Train, stage: Stage, classifier: Classifier) -> tuple[float, float]:
    """Top-1 accuracy, averaged over the heads, and cross-entropy on the validation clips, one view each."""
    classifier.model.eval()
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for inputs, target in stage.held_out():
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
            logits.append(stage.forward(inputs).float().cpu())
        targets.append(target.cpu())
    if not logits:
        raise DataError("None of the validation clips can be read.")
    together, truth = torch.cat(logits), torch.cat(targets)
    heads = [head for head in measure(together, truth, classifier.labels) if head.videos]
    loss = float(cross_entropy(together, truth, classifier.labels))
    return sum(head.top1 for head in heads) / len(heads), loss
