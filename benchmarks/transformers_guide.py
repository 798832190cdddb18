"""Lip reading out of the box: `transformers`' Trainer as its guide to video classification uses it.

`python benchmarks/transformers_guide.py GRID_WORDS_CSV --minutes 25 --json FILE` trains `VivitForVideoClassification`
on the same clips as Tubelet's run of docs/results.md, for the same wall-clock time. What the guide says is kept:
frames spread evenly over the clip, a random scale of the shorter side by 256/224 to 320/224, random crop, mirror
images, AdamW at 5e-5 with a linear decay after 10 % of warm-up, no label smoothing. What is not the guide's: the
pixels (64 of a side around the mouth, since 224 would be some hundred steps in this time), and no pretrained weights:
none of a ViViT are at hand, and transformers does not start a ViViT from an image ViT. `--lr` tries other rates.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matched_training import MARGIN_SECONDS, VIEW, decoded
from rich.console import Console
from rich.table import Table as RichTable
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from transformers import Trainer, TrainingArguments, VivitConfig, VivitForVideoClassification
from words import words

SIDE = 64


class Clips(Dataset[dict[str, Any]]):
    """Clips (N, F, C, H, W) as the guide's transforms show them."""

    def __init__(self, pixels: Tensor, truth: Tensor, training: bool) -> None:
        self.pixels, self.truth = pixels, truth
        crop = v2.RandomCrop(SIDE) if training else v2.CenterCrop(SIDE)
        least, most = round(SIDE * 256 / 224), round(SIDE * 320 / 224)
        sizes: list[v2.Transform] = [v2.RandomResize(least, most + 1)] if training else [v2.Resize(least)]
        mirrored: list[v2.Transform] = [v2.RandomHorizontalFlip()] if training else []
        normalise = v2.Normalize([0.5] * 3, [0.5] * 3)
        self.show = v2.Compose([*sizes, crop, *mirrored, v2.ToDtype(torch.float32, scale=True), normalise])

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"pixel_values": self.show(self.pixels[number]), "labels": int(self.truth[number])}


def accuracy_of(trainer: Trainer, clips: Clips) -> float:
    """Top-1."""
    said = torch.as_tensor(trainer.predict(clips).predictions)
    return float((said.argmax(-1) == clips.truth).double().mean())


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Train as long as it may, and measure."""
    source = words(arguments.words, MARGIN_SECONDS)
    view = replace(VIEW, frames=16, size=96)
    splits = {split: decoded(source, split, view) for split in ("train", "val", "test")}
    clips = {split: Clips(*found, training=split == "train") for split, found in splits.items()}
    config = VivitConfig(
        image_size=SIDE, num_frames=16, hidden_size=192, num_hidden_layers=arguments.depth, num_attention_heads=3,
        intermediate_size=768, num_labels=len(source.labels.heads[0].classes),
    )  # fmt: skip
    torch.manual_seed(arguments.seed)
    model = VivitForVideoClassification(config)
    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            "output_dir": scratch, "learning_rate": arguments.lr, "per_device_train_batch_size": 16,
            "seed": arguments.seed, "save_strategy": "no", "report_to": "none",
            "per_device_eval_batch_size": 64, "logging_steps": 50, "use_cpu": not torch.cuda.is_available(),
            "disable_tqdm": True,
        }  # fmt: skip
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        begun = time.perf_counter()
        Trainer(model, TrainingArguments(max_steps=20, **settings), train_dataset=clips["train"]).train()
        steps = round(60 * arguments.minutes / ((time.perf_counter() - begun) / 20))
        model.load_state_dict(before)
        planned = TrainingArguments(max_steps=steps, warmup_steps=steps // 10, **settings)
        trainer = Trainer(model, planned, train_dataset=clips["train"])
        begun = time.perf_counter()
        trainer.train()
        minutes = (time.perf_counter() - begun) / 60
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return {
            "minutes": minutes,
            "steps": steps,
            "epochs": steps * 16 / len(clips["train"]),
            "learning rate": arguments.lr,
            "training loss, last": losses[-1],
            "val top-1": accuracy_of(trainer, clips["val"]),
            "test top-1": accuracy_of(trainer, clips["test"]),
            "versions": {"torch": torch.__version__, "transformers": __import__("transformers").__version__},
        }


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", type=Path)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = run(arguments)
    table = RichTable("", "found", title="transformers' Trainer, out of the box")
    for name, value in found.items():
        table.add_row(name, str(value))
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
