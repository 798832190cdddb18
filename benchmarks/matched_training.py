"""The same training by Tubelet and by `transformers`: same Model 1, weights, clips, order, optimiser, schedule.

`python benchmarks/matched_training.py GRID_WORDS_CSV DEIT_FILE --json benchmarks/matched_training.json` starts ViViT
Model 1 from an image ViT, writes it as a Hugging Face folder, loads that with `VivitForVideoClassification`, and
trains both on spoken words, a step of each in turn. What should come out: the same losses, step by step, until
rounding has grown, and then no more difference than between two trainings of ours: a third one, the *twin*, starts
from weights that differ in the seventh digit. Without dropout, of which each side would draw its own. `transformers`
has the loop that its documentation shows, around torch's AdamW. `--few 128` learns so many clips by heart.
"""

import argparse
import copy
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table as RichTable
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import VivitForVideoClassification
from words import words

import tubelet
from tubelet.data import Table
from tubelet.data.dataset import ClipDataset
from tubelet.training import Optimizer
from tubelet.training.optimizer import build_optimizer, set_lr
from tubelet.training.schedule import lr_factor
from tubelet.training.step import Learning, Step, groups_of
from tubelet.weights.start import Start
from tubelet.weights.to_huggingface import write_huggingface

VIEW = tubelet.View(
    frames=8, uniform=True, size=48, fit="squash", region=(0.31, 0.07, 0.88, 0.93), value_range=(-1.0, 1.0)
)


MARGIN_SECONDS = 0.12
"""Three frames."""


def decoded(
    source: Table, split: str, view: tubelet.View = VIEW, few: int | None = None
) -> tuple[Tensor, Tensor]:
    """All clips of a split, or a few spread over it, uint8 (N, F, C, H, W), and their classes (N,)."""
    samples = list(source.samples(split))
    if few is not None:
        samples = samples[:: max(len(samples) // few, 1)][:few]
    dataset = ClipDataset(samples, view, views="1x1")
    clips = [dataset[number] for number in range(len(samples))]
    kept = [(clip.pixels, sample.labels[0]) for clip, sample in zip(clips, samples, strict=True)]
    pixels = torch.cat([one for one, _ in kept if one is not None])
    return pixels, torch.tensor([int(label) for one, label in kept if one is not None])  # pyright: ignore[reportArgumentType]


def decays(name: str, parameter: nn.Parameter) -> bool:
    """What Tubelet decays, in the names of `transformers`."""
    return parameter.ndim > 1 and not name.endswith(("cls_token", "position_embeddings"))


@torch.no_grad()
def accuracy(forward: nn.Module, pixels: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    """Top-1, and what is answered."""
    forward.eval()
    said = torch.cat([logits_of(forward, VIEW.normalise(part)).argmax(1) for part in pixels.split(64)])
    forward.train()
    return float((said == truth).double().mean()), said


def logits_of(model: nn.Module, clips: Tensor) -> Tensor:
    """Of either library."""
    said = model(clips)
    return said if isinstance(said, Tensor) else said.logits


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Both trainings, in turn, and what they say."""
    source = words(arguments.words, MARGIN_SECONDS)
    splits = {"train": decoded(source, "train", few=arguments.few), "test": decoded(source, "test")}
    config = tubelet.start_config(
        arguments.init, frames=8, size=48, depth=arguments.depth, classes=source.labels.classes
    )
    ours = tubelet.start_from(
        arguments.init, config, rules=Start(inflation="average"), labels=source.labels
    ).model
    with tempfile.TemporaryDirectory() as scratch:
        plain = replace(
            VIEW, region=None, fit="shorter_side"
        )  # its processor is not used: both get the same tensors
        write_huggingface(ours, plain, source.labels, Path(scratch, "start"))
        theirs = VivitForVideoClassification.from_pretrained(
            Path(scratch, "start"), attn_implementation="sdpa"
        )
    twin = copy.deepcopy(ours)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(
                1 + 1e-7 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    settings = Optimizer(lr=arguments.lr, weight_decay=0.05)
    learning = Learning(labels=source.labels, optimizer=settings, seed=0)
    step, again = (Step(m.train(), m, build_optimizer(m, settings), learning) for m in (ours, twin))
    named = list(theirs.train().named_parameters())
    groups = [
        {
            "params": [p for n, p in named if decays(n, p) == matrices],
            "scale": 1.0,
            "weight_decay": 0.05 * matrices,
        }
        for matrices in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas)
    pixels, truth = splits["train"]
    order = torch.Generator().manual_seed(arguments.seed)
    losses: list[tuple[float, float, float]] = []
    seconds: list[tuple[float, float]] = []
    chosen: list[Tensor] = []
    for number in range(arguments.steps):
        if not chosen:
            chosen = list(torch.randperm(len(truth), generator=order).split(16))
        some = chosen.pop(0)
        clips, rate = VIEW.normalise(pixels[some]), settings.lr * lr_factor(number, arguments.steps, settings)
        begun = time.perf_counter()
        set_lr(step.optimizer, rate)
        targets = source.labels.targets([(int(label),) for label in truth[some]])
        (mine,) = step(number, groups_of(clips, targets, len(some)), 1)
        between = time.perf_counter()
        set_lr(optimizer, rate)
        optimizer.zero_grad()
        loss = cross_entropy(theirs(clips).logits, truth[some])
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        seconds.append((between - begun, time.perf_counter() - between))
        set_lr(again.optimizer, rate)
        (other,) = again(number, groups_of(clips, targets, len(some)), 1)
        losses.append((mine.loss, loss.item(), other.loss))
        if (number + 1) % 50 == 0:
            print(f"{number + 1}:", *(f"{one:.6f}" for one in losses[-1]), flush=True)
    models = ours, theirs, twin
    answers = [accuracy(m, *splits["test"]) for m in models]
    by_heart = [accuracy(m, *splits["train"])[0] if arguments.few else None for m in models]
    apart = {
        name: [abs(row[0] - row[place]) for row in losses]
        for place, name in ((1, "transformers"), (2, "twin"))
    }
    medians = [float(torch.tensor(column).median()) for column in zip(*seconds, strict=True)]
    return {
        "steps": arguments.steps,
        "seed": arguments.seed,
        "largest difference of losses": {
            name: {f"first {n}": max(rows[:n]) for n in (1, 10, 100, arguments.steps)}
            for name, rows in apart.items()
        },
        "mean loss of the last 100": [sum(column[-100:]) / 100 for column in zip(*losses, strict=True)],
        "training top-1": by_heart,
        "test top-1": [top1 for top1, _ in answers],
        "same answers": [float((said == answers[0][1]).double().mean()) for _, said in answers],
        "seconds a step, median": medians,
        "versions": {"torch": torch.__version__, "transformers": __import__("transformers").__version__},
    }


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", type=Path)
    parser.add_argument("init", type=Path)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--few", type=int, help="learn so many clips by heart, in place of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = run(arguments)
    table = RichTable("", "found", title="The same training by Tubelet and by transformers")
    for name, value in found.items():
        table.add_row(name, str(value))
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
