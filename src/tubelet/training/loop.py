"""`train`: a run, from top to bottom."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tubelet.classifier import Classifier
from tubelet.data.workers import worker_deaths
from tubelet.distributed import processes
from tubelet.errors import ConfigError, DataError
from tubelet.layers.heap import give_back_large_blocks
from tubelet.training.config import Train
from tubelet.training.curves import Curves
from tubelet.training.folder import PICTURE, RunFolder
from tubelet.training.interrupt import Interrupt
from tubelet.training.learner import Learner, Progress
from tubelet.training.loss import (
    class_counts,
    prior_entropy,
    verdict,
)
from tubelet.training.optimizer import set_lr
from tubelet.training.plot import plot_log
from tubelet.training.prepare import build_model, class_weights, describe
from tubelet.training.schedule import lr_factor
from tubelet.training.stage import Names, Split, Stage, Work
from tubelet.training.stages import frozen_stage, main_stage, partial_stage
from tubelet.training.validate import validate

STAGES: dict[str, Callable[[Work], Stage]] = {
    "frozen": frozen_stage,
    "partial": partial_stage,
    "main": main_stage,
}
"""In their order."""


@worker_deaths()
def train(run: Train, progress: bool = True) -> Classifier:
    """Run a training, or go on with one that was interrupted.

    The folder `run.out` then holds the model of the epoch with the best validation accuracy
    (`tubelet.load(run.out)`), `run.json` (the settings), `log.jsonl` (a line for each event), `run.png` (its picture)
    and `checkpoints`, from which the same run goes on wherever it was stopped.

    Started by torchrun, the processes share the replica groups of each step, and the result is that of one process.

    Args:
        run: the run.
        progress: show progress bars and a line for each epoch.

    Returns:
        The best model, with the run's view and the data's labels.

    Raises:
        ConfigError: if `run.out` holds anything but this run, or the processes cannot share its steps.
        DataError: if the data are not what they say, or none of them can be read.
        WeightsError: if the model to start from cannot be read, or does not fit.
        TubeletError: if the loss is no longer a number, the disk is full, or a process that decodes was killed.
        KeyboardInterrupt: when the user stops it, after it is saved.
    """
    with processes(run.device) as who:
        if run.replicas % who.count:
            raise ConfigError(
                f"The replicas={run.replicas} groups of a step cannot be shared among {who.count} processes, each of "
                "which takes whole groups: start a number of processes that divides them, or set replicas."
            )
        console = Console(quiet=not (progress and who.first))
        folder = RunFolder.of(run, who.first)
        names = Names(folder=folder, console=console, who=who)
        splits = {name: Split.open(run, name, who) for name in ("train", "val")}
        model, report = build_model(run)
        who.from_first(lambda: folder.begin(run))
        work = Work(
            run=run, model=model.to(who.device), who=who, folder=folder, console=console, names=names, splits=splits
        )  # fmt: skip
        if run.checkpoint_activations and who.device.type == "cpu":
            give_back_large_blocks()
        counts = class_counts(splits["train"].samples, run.data.labels)
        prior = prior_entropy(splits["train"].samples, run.data.labels)
        describe(work, prior, report)
        saved = who.from_first(lambda: folder.checkpoints.newest(console.print))
        place = begin(work, saved, prior)
        with curves_of(work, place.taken) as curves, Interrupt() as interrupt:
            for name, build in STAGES.items():
                if lies_behind(run, place, name):
                    continue
                place = place if place.stage == name else place.next_stage(name)
                learner = Learner(work, build(work), class_weights(run, counts, who.device), place)
                if saved is not None:
                    learner.restore(saved)
                    saved = None
                run_stage(learner, curves, interrupt)
        who.from_first(lambda: finish(work, place, prior))
        return Classifier.load(run.out)


def begin(work: Work, saved: dict[str, Any] | None, prior: float) -> Progress:
    """Where the run stands, by its last checkpoint. The log is taken back to there: the rest comes again."""
    folder = work.folder
    if folder.writes:
        folder.cut_log(0 if saved is None else saved["log_bytes"])
    if saved is None:
        clips = {f"{name}_clips": len(split.samples) for name, split in work.splits.items()}
        folder.log(event="began", prior_entropy=prior, **clips)
        return Progress()
    place = Progress(**saved["progress"])
    work.names.known.extend(saved["unreadable"])
    work.console.print(
        f"Resuming after {place.epoch} epochs and {place.step} steps of the {place.stage} stage.",
        highlight=False,
    )
    folder.log(
        event="resumed", stage=place.stage, epoch=place.epoch, step=place.step, processes=work.who.count
    )
    return place


def lies_behind(run: Train, place: Progress, name: str) -> bool:
    """Whether a stage is done, or no part of the run."""
    settings = {"frozen": run.frozen, "partial": run.partial, "main": run}[name]
    epochs = 0 if settings is None else settings.epochs
    if place.stage == name:
        return is_over(run, place, epochs)
    order = list(STAGES)
    return epochs == 0 or (place.stage in order and order.index(name) < order.index(place.stage))


def is_over(run: Train, place: Progress, epochs: int) -> bool:
    """Whether a stage has had its epochs, or has not become better for too long."""
    return place.epoch >= epochs or (run.patience is not None and place.since_best >= run.patience)


@contextmanager
def curves_of(work: Work, taken: int) -> Generator[Curves | None]:
    """The curves beside the log, on the process that writes."""
    curves = Curves(work.run, taken) if work.folder.writes else None
    try:
        yield curves
    finally:
        if curves is not None:
            curves.close()


def run_stage(learner: Learner, curves: Curves | None, interrupt: Interrupt) -> None:
    """The epochs of one stage: learn, validate, keep the best, save where it stands."""
    work, stage, place = learner.work, learner.stage, learner.place
    run, console = work.run, work.console
    if place.epoch == place.step == 0:
        work.folder.log(event="stage", stage=stage.name, epochs=stage.epochs, steps=stage.steps_per_epoch)
    while not is_over(run, place, stage.epochs):
        learn(learner, curves, interrupt)
        place.train_loss = place.loss_sum / place.clips
        with nullcontext() if learner.average is None else learner.average.applied():
            top1, loss = validate(learner)
            best = (top1, -loss) > (place.best_top1, -place.best_loss)
            place.since_best = 0 if best else place.since_best + 1
            if best:
                place.best_top1, place.best_loss = top1, loss
                at = {"stage": stage.name, "epoch": place.epoch + 1, "val_top1": top1, "val_loss": loss}
                learner.write_best(at)
        learner.count_time()
        seconds = round(place.seconds, 1)
        place.end_epoch()
        found = {"train_loss": place.train_loss, "val_loss": loss, "val_top1": top1}
        lr = rate_of(stage, place.epoch * stage.steps_per_epoch - 1)
        work.names.tell()
        work.folder.log(
            event="epoch", stage=stage.name, epoch=place.epoch, **found, best=best, lr=lr, seconds=seconds
        )
        learner.save()
        if curves is not None:
            curves.add(place.taken, found)
        console.print(
            f"{stage.name} {place.epoch}/{stage.epochs}: training loss {place.train_loss:.3f}, validation loss "
            f"{loss:.3f}, top-1 {top1:.1%}{' (best)' if best else ''}"
        )
        (asked,) = work.who.sums(interrupt.asked)
        stop_if_asked(learner, asked > 0)
    if place.epoch < stage.epochs:
        console.print(f"Stopped: no better epoch in the last {run.patience}.")


def learn(learner: Learner, curves: Curves | None, interrupt: Interrupt) -> None:
    """The rest of an epoch, from `learner.place` on.

    Raises:
        DataError: if none of the epoch's clips can be read.
        KeyboardInterrupt: if the user stops it, after it is saved.
    """
    work, stage, place = learner.work, learner.stage, learner.place
    work.model.eval()
    stage.learning.train()
    title = f"{stage.name} {place.epoch + 1}/{stage.epochs}"
    with progress_bar(work.console) as bar:
        shown = bar.add_task(title, total=stage.steps_per_epoch, completed=place.step, loss="")
        for portion in stage.training(place.epoch, place.step):
            number = place.epoch * stage.steps_per_epoch + place.step
            rate = rate_of(stage, number)
            set_lr(learner.optimizer, rate)
            (filled,) = stage.who.sums(sum(count > 0 for count in portion.clips))
            total = clips = 0.0
            if filled:
                losses = learner.step(number, portion.groups, int(filled))
                if learner.average is not None:
                    learner.average.update()
                counted = zip(losses, portion.clips, strict=True)
                total = sum(group.loss * count for group, count in counted)
                clips = sum(portion.clips)
            total, clips = stage.who.sums(total, clips)
            place.loss_sum += total
            place.clips += int(clips)
            place.step += 1
            place.taken += 1
            if place.taken % work.run.log_steps == 0 and place.clips > place.logged_clips:
                log_step(learner, rate, curves)
            bar.update(shown, advance=1, loss=f"loss {place.loss_sum / max(place.clips, 1):.3f}")
            asked, due = work.who.sums(interrupt.asked, work.who.first and learner.is_due())
            if due and not asked:
                learner.save()
            stop_if_asked(learner, asked > 0)
    if place.clips == 0:
        raise DataError("None of the training clips can be read.")


def rate_of(stage: Stage, step: int) -> float:
    """The highest learning rate at a step of a stage."""
    steps = stage.epochs * stage.steps_per_epoch
    return stage.optimizer.lr * lr_factor(step, steps, stage.optimizer, stage.epochs)


def log_step(learner: Learner, rate: float, curves: Curves | None) -> None:
    """A line of the mean loss since the last one."""
    place, stage = learner.place, learner.stage
    loss = (place.loss_sum - place.logged_sum) / (place.clips - place.logged_clips)
    place.logged_sum, place.logged_clips = place.loss_sum, place.clips
    epoch = round(place.epoch + place.step / stage.steps_per_epoch, 6)
    learner.work.folder.log(event="step", stage=stage.name, epoch=epoch, step=place.taken, loss=loss, lr=rate)
    if curves is not None:
        curves.add(place.taken, {"step_loss": loss, "lr": rate})


def stop_if_asked(learner: Learner, asked: bool) -> None:
    """Save, say how to go on, and stop; all processes must agree on `asked`.

    Raises:
        KeyboardInterrupt: if the user asked for it.
    """
    if asked:
        learner.save()
        learner.work.console.print(
            f"Stopped and saved after {learner.place.taken} steps. The same command goes on from there."
        )
        raise KeyboardInterrupt


def progress_bar(console: Console) -> Bar:
    """Steps of an epoch, its loss so far, the time that it still takes."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=console, transient=True, disable=console.quiet)


def finish(work: Work, place: Progress, prior: float) -> None:
    """The last words of a run, and its picture."""
    warning = verdict(place.train_loss, prior)
    if warning is not None:
        work.console.print(f"[bold red]{warning}[/]")
    work.folder.log(
        event="finished", best_top1=place.best_top1, best_loss=place.best_loss, train_loss=place.train_loss,
        prior_entropy=prior, warning=warning, unreadable=len(work.names.known),
    )  # fmt: skip
    plot_log(work.folder.log_file, work.folder.path / PICTURE)
