"""Small runs for the tests of the trainer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tubelet.classifier import Classifier
from tubelet.data.folders import Folders
from tubelet.models.config import ViViTConfig
from tubelet.training import Optimizer, Train
from tubelet.video.view import View

JOINT = ViViTConfig(frames=8, size=32, tubelet=(2, 8, 8), width=48, depth=2, heads=4, hidden=96, pool="mean")
FACTORISED = replace(JOINT, attention="factorised_encoder", depth=1, temporal_depth=1)
VIEW = View(frames=8, stride=1, size=32, value_range=(-1.0, 1.0))


def run_of(root: Path, out: Path, **fields: Any) -> Train:
    values: dict[str, Any] = {
        "model": JOINT, "view": VIEW, "epochs": 3, "batch_size": 8, "workers": 0, "keep_decoded": True,
        "optimizer": Optimizer(lr=2e-3),
    }  # fmt: skip
    return Train(data=Folders(root=root), out=out, **(values | fields))


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def log_of(out: Path, event: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(out) if line["event"] == event]


def story_of(out: Path) -> list[dict[str, Any]]:
    """The log without what an interruption may change: times, and that the run was resumed."""
    lines = [line for line in lines_of(out) if line["event"] != "resumed"]
    return [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in lines]


def weights_of(classifier: Classifier) -> list[torch.Tensor]:
    return list(classifier.model.state_dict().values())


def same(one: Classifier, other: Classifier) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))
