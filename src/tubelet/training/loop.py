"""`train`: a run, from top to bottom."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from tubelet import lora
from tubelet.classifier import Classifier
from tubelet.data.dataset import mix
from tubelet.errors import DataError
from tubelet.evaluation.metrics import measure
from tubelet.loading import open_source
from tubelet.models.vivit import ViViT
from tubelet.training.config import Train
from tubelet.training.ema import Average
from tubelet.training.folder import RunFolder
from tubelet.training.loss import (
    balanced_weights,
    class_counts,
    class_numbers,
    objective,
    prior_entropy,
    verdict,
)
from tubelet.training.optimizer import build_optimizer, set_lr
from tubelet.training.schedule import lr_factor
from tubelet.training.stage import Names, Split, Stage, frozen_stage, main_stage
from tubelet.training.step import Learning, Step, groups_of
from tubelet.weights.report import LoadReport
from tubelet.weights.surgeon import fill


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
        WeightsError: if the model to start from cannot be read, or does not fit.
        TubeletError: if the loss is no longer a number.
    """
    console = Console(quiet=not progress)
    labels = run.data.labels
    model, report = build_model(run)
    device = torch.device(
        run.device if run.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    )
    splits = {name: Split.open(run, name, device.type == "cuda") for name in ("train", "val")}
    folder = RunFolder.open(run)
    classifier = Classifier(model, run.view, labels).to(device)
    names = Names(folder, console)
    counts = class_counts(splits["train"].samples, labels)
    prior = prior_entropy(counts)
    describe = ", ".join(f"{len(head.classes)} classes of {head.name}" for head in labels.heads)
    console.print(
        f"{len(splits['train'].samples)} training and {len(splits['val'].samples)} validation clips, "
        f"{describe}; the class frequencies alone give a loss of {prior:.3f}.",
        highlight=False,
    )
    if report is not None:
        console.print(f"Started from {str(report).splitlines()[0]}.", highlight=False)
    saved = folder.load(device)
    place = Progress()
    if saved is not None:
        place = Progress(**saved["progress"])
        model.load_state_dict(saved["model"])
        console.print(f"Resuming after epoch {place.epoch} of the {place.stage} stage.")
        folder.log(event="resumed", stage=place.stage, epoch=place.epoch)
    weights = None
    if run.class_weights == "balanced":
        pairs = zip(labels.heads, balanced_weights(counts), strict=True)
        weights = [weight.to(device) if head.kind == "single" else None for head, weight in pairs]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for name, build in (("frozen", frozen_stage), ("main", main_stage)):
            if (run.frozen is None and name == "frozen") or (run.epochs == 0 and name == "main"):
                continue
            done = place.stage == "main" or (run.frozen is not None and place.epoch >= run.frozen.epochs)
            if name == "frozen" and done:
                continue  # before the interruption
            if place.stage != name:
                saved, place = None, replace(place, stage=name, epoch=0, since_best=0)
            stage = build(run, model, splits, device, names, place.epoch == 0, console)
            run_stage(run, stage, classifier, folder, place, saved, weights, console)
    warning = verdict(place.train_loss, prior)
    if warning is not None:
        console.print(f"[bold red]{warning}[/]")
    folder.log(
        event="finished", best_top1=place.best_top1, best_loss=place.best_loss, train_loss=place.train_loss,
        prior_entropy=prior, warning=warning, unreadable=len(names.known),
    )  # fmt: skip
    return Classifier.load(run.out)


def build_model(run: Train) -> tuple[ViViT, LoadReport | None]:
    """The model at the start of a run, and what became of every tensor of what it starts from, if anything."""
    config = replace(run.model, classes=run.data.labels.classes)
    model, report = ViViT(config, torch.Generator().manual_seed(run.seed)), None
    if run.start is not None:
        report = fill(model, open_source(run.start.file), run.start.rules, run.data.labels)
    if run.lora is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # peft draws from torch's own source
            lora.add(model, run.lora)
    model.checkpoint_activations(run.checkpoint_activations)
    return model, report


def run_stage(
    run: Train,
    stage: Stage,
    classifier: Classifier,
    folder: RunFolder,
    place: Progress,
    saved: dict[str, Any] | None,
    weights: list[Tensor | None] | None,
    console: Console,
) -> None:
    """The epochs of one stage: learn, validate, keep the best, save where it stands."""
    step = build_step(run, stage, classifier, weights)
    average = None if run.ema is None else Average(classifier.model, run.ema)
    if saved is not None:
        step.optimizer.load_state_dict(saved["optimizer"])
        if average is not None:
            average.load(**saved["average"])
    for epoch in range(place.epoch, stage.epochs):
        if run.patience is not None and place.since_best >= run.patience:
            console.print(f"Stopped: no better epoch in the last {run.patience}.")
            break
        began = time.monotonic()
        place.train_loss = learn(stage, classifier, step, average, epoch)
        with nullcontext() if average is None else average.applied():
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
                "optimizer": step.optimizer.state_dict(),
                "average": None if average is None else average.state(),
            }
        )
        folder.log(
            event="epoch", stage=stage.name, epoch=place.epoch, train_loss=place.train_loss, val_loss=loss,
            val_top1=top1, best=best, lr=step.optimizer.param_groups[0]["lr"],
            seconds=round(time.monotonic() - began, 1),
        )  # fmt: skip
        console.print(
            f"{stage.name} {place.epoch}/{stage.epochs}: training loss {place.train_loss:.3f}, validation loss "
            f"{loss:.3f}, top-1 {top1:.1%}{' (best)' if best else ''}"
        )


def build_step(run: Train, stage: Stage, classifier: Classifier, weights: list[Tensor | None] | None) -> Step:
    """How the model of a stage takes a step."""
    learning = Learning(
        labels=classifier.labels,
        optimizer=stage.optimizer,
        seed=mix(run.seed, stage.name == "main"),
        label_smoothing=run.label_smoothing,
        class_weights=weights,
        mixup=stage.mixup,
        cutmix=stage.cutmix,
        bf16=run.precision == "bf16",
    )
    optimizer = build_optimizer(classifier.model, stage.optimizer)
    return Step(classifier.model, stage.forward, optimizer, learning)


def learn(stage: Stage, classifier: Classifier, step: Step, average: Average | None, epoch: int) -> float:
    """One epoch. Returns the mean loss of its clips, without smoothing and class weights."""
    classifier.model.eval()
    stage.learning.train()
    steps = stage.epochs * stage.steps_per_epoch
    total, clips = 0.0, 0
    for number, (inputs, targets) in enumerate(stage.training(epoch), start=epoch * stage.steps_per_epoch):
        set_lr(step.optimizer, stage.optimizer.lr * lr_factor(number, steps, stage.optimizer))
        groups = groups_of(inputs, targets, stage.group_size)
        for group in step(number, groups, len(groups)):
            total += group.clips * group.loss
            clips += group.clips
        if average is not None:
            average.update()
    if clips == 0:
        raise DataError("None of the training clips can be read.")
    return total / clips


@torch.no_grad()
def validate(run: Train, stage: Stage, classifier: Classifier) -> tuple[float, float]:
    """Top-1 accuracy, averaged over the heads that have any, and the loss on the validation clips, one view each."""
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
    measured = measure(together, class_numbers(truth, classifier.labels), classifier.labels)
    heads = [head for head in measured if head.videos]
    loss = float(objective(together, truth, classifier.labels))
    return sum(head.top1 for head in heads) / max(len(heads), 1), loss
