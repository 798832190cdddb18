"""What a run starts with: its model, the weights of its classes, and what is said of it."""

from dataclasses import replace

import torch
from rich.markup import escape
from torch import Tensor

from tubelet import lora
from tubelet.loading import open_source
from tubelet.models.vivit import ViViT
from tubelet.training.config import Train
from tubelet.training.loss import balanced_weights
from tubelet.training.mirror import handed
from tubelet.training.stage import Work
from tubelet.weights.report import LoadReport
from tubelet.weights.surgeon import fill


def build_model(run: Train) -> tuple[ViViT, LoadReport | None]:
    """The model at the start of a run, and what became of every tensor of what it starts from, if anything."""
    config = replace(run.model, classes=run.data.labels.classes)
    model, report = ViViT(config, torch.Generator().manual_seed(run.seed)), None
    if run.init is not None:
        report = fill(model, open_source(run.init.file), run.init.rules, run.data.labels)
    if run.lora is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # peft draws from torch's own source
            lora.add(model, run.lora)
    model.checkpoint_activations(run.checkpoint_activations)
    return model, report


def class_weights(run: Train, counts: list[Tensor], device: torch.device) -> list[Tensor | None] | None:
    """For each head the weight of each class, if the run weighs them; only of heads with one class each."""
    if run.class_weights == "none":
        return None
    pairs = zip(run.data.labels.heads, balanced_weights(counts), strict=True)
    return [weight.to(device) if head.kind == "single" else None for head, weight in pairs]


def describe(work: Work, prior: float, report: LoadReport | None) -> None:
    """Say what is about to be trained."""
    heads = ", ".join(f"{len(head.classes)} classes of {head.name}" for head in work.run.data.labels.heads)
    work.console.print(
        f"{len(work.splits['train'].samples)} training and {len(work.splits['val'].samples)} validation clips, "
        f"{heads}; the class frequencies alone give a loss of {prior:.3f}.",
        highlight=False,
    )
    wrong = handed(work.run.data.labels, work.run.flip_swaps) if work.run.view.flip else None
    if wrong is not None:
        work.console.print(f"[yellow]{escape(wrong)}[/]", highlight=False)
    if report is not None:
        work.console.print(f"Started from {str(report).splitlines()[0]}.", highlight=False)
