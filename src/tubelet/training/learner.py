"""What changes while a stage learns, and how a checkpoint keeps it."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.data.dataset import mix
from tubelet.errors import TubeletError
from tubelet.training.ema import Average
from tubelet.training.optimizer import build_optimizer
from tubelet.training.stage import Stage, Work
from tubelet.training.state import kept, load_optimizer_state, load_tensors, model_state, optimizer_state
from tubelet.training.step import Learning, Step

STREAMS = {"frozen": 0, "main": 1, "partial": 2}
"""Of each stage, the number of the stream that its random numbers come from."""


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: what a checkpoint keeps beside the tensors."""

    stage: str = ""
    epoch: int = 0
    """Epochs of the stage that are done."""
    step: int = 0
    """Steps of the present epoch that are done."""
    taken: int = 0
    """Steps of the run that are done."""
    loss_sum: float = 0.0
    """Over the clips of the present epoch: their losses, without smoothing and class weights."""
    clips: int = 0
    """How many clips those are."""
    logged_sum: float = 0.0
    """`loss_sum` at the last line of the log."""
    logged_clips: int = 0
    """`clips` at the last line of the log."""
    seconds: float = 0.0
    """That the present epoch has taken so far."""
    best_top1: float = -1.0
    best_loss: float = math.inf
    since_best: int = 0
    """Epochs of the stage since the best one."""
    train_loss: float = math.inf
    """The mean loss of the last whole epoch."""

    def next_stage(self, name: str) -> "Progress":
        """At the beginning of a stage."""
        return Progress(stage=name, taken=self.taken, best_top1=self.best_top1, best_loss=self.best_loss)

    def end_epoch(self) -> None:
        """The present epoch is done."""
        self.epoch += 1
        self.step = self.clips = self.logged_clips = 0
        self.loss_sum = self.logged_sum = self.seconds = 0.0


class Learner:
    """A stage under way.

    Args:
        work: the run.
        stage: the stage, as it is built at its beginning.
        weights: for each head the weight of each class, if any.
        place: where the stage stands; changes as it learns.
    """

    def __init__(
        self, work: Work, stage: Stage, weights: list[Tensor | None] | None, place: Progress
    ) -> None:
        run, model, who = work.run, work.model, stage.who
        self.work, self.stage, self.place = work, stage, place
        self.labels = run.data.labels
        learning = Learning(
            labels=self.labels,
            optimizer=stage.optimizer,
            seed=mix(run.seed, STREAMS[stage.name]),
            label_smoothing=run.label_smoothing,
            class_weights=weights,
            mixup=stage.mixup,
            cutmix=stage.cutmix,
            autocast=run.autocast,
        )
        self.optimizer = build_optimizer(model, stage.optimizer)
        self.scaler = torch.amp.GradScaler(who.device.type) if run.precision == "fp16" else None
        self.step = Step(model, stage.forward, self.optimizer, learning, scaler=self.scaler)
        if not stage.sharded:
            self.step.reduce = lambda: who.add_gradients(self.step.parameters)
        self.average = None if run.ema is None else Average(model, run.ema)
        self._saved_at = self._counted_at = time.monotonic()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint, of this stage or of the end of the one before."""
        load_tensors(dict(self.work.model.state_dict()), saved["model"])
        if saved["progress"]["stage"] != self.stage.name:
            if self.average is not None:  # it starts at what the stage starts from
                self.average = Average(self.work.model, self.average.decay)
            return
        load_optimizer_state(self.optimizer, self.work.model, saved["optimizer"])
        if self.average is not None:
            self.average.updates = saved["average"]["updates"]
            load_tensors(self.average.weights, saved["average"]["weights"])
        if self.scaler is not None:
            self.scaler.load_state_dict(saved["scaler"])

    def save(self) -> None:
        """Put a checkpoint on the disk; all processes must call."""
        work, model, who = self.work, self.work.model, self.work.who
        work.names.tell()
        self.count_time()
        state: dict[str, Any] = {
            "model": model_state(model, who),
            "optimizer": optimizer_state(self.optimizer, model, who),
            "average": None,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }
        if self.average is not None:
            weights = kept(self.average.weights, who)
            state["average"] = {"updates": self.average.updates, "weights": weights}

        def write() -> None:
            state.update(
                progress=asdict(self.place), unreadable=work.names.known, log_bytes=work.folder.log_bytes()
            )
            work.folder.checkpoints.save(self.place.taken, state)

        who.from_first(write)
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether this process wants a checkpoint inside the epoch."""
        run, place = self.work.run, self.place
        if run.save_steps is not None and place.taken % run.save_steps == 0:
            return True
        waited = time.monotonic() - self._saved_at
        return run.save_minutes is not None and waited > 60 * run.save_minutes

    def count_time(self) -> None:
        """Add the time since it was last counted to the present epoch's."""
        now = time.monotonic()
        self.place.seconds += now - self._counted_at
        self._counted_at = now

    def write_best(self, extra: dict[str, Any]) -> None:
        """Write the model as it is into the run's folder; all processes must call.

        Raises:
            TubeletError: if the disk does not take it.
        """
        work = self.work
        model = work.model
        if self.stage.sharded:
            tensors = model_state(model, work.who)
            if self.stage.copy is not None:
                model = self.stage.copy
                load_tensors(dict(model.state_dict()), tensors)

        def write() -> None:
            try:
                Classifier(model, work.run.view, self.labels).write(work.folder.path, {"trained": extra})
            except (OSError, SafetensorError) as error:
                raise TubeletError(
                    f"The best model cannot be written to {work.folder.path}: {error}. The last checkpoint is whole: "
                    "make room, then give the same command again."
                ) from error

        work.who.from_first(write)
