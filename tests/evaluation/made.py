"""Results made up for the tests of metrics: no video and no model behind them."""

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tubelet.evaluation.manifest import Manifest
from tubelet.evaluation.results import Results, VideoResult
from tubelet.labels import Label, Labels


def results_of(
    labels: Labels,
    logits: Tensor,
    said: Sequence[tuple[Label, ...]],
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Results:
    """Logits `(N, sum(classes))`, a row of NaN for a video that could not be read."""
    rows = [
        VideoResult(
            index=index,
            video=f"{index}.mp4",
            path=f"{index}.mp4",
            labels=label,
            logits=None if numbers.isnan().any() else array("f", numbers.tolist()),
            views=12,
            seconds=0.5,
            group=groups[index] if groups else None,
            id=ids[index] if ids else None,
            error="broken" if numbers.isnan().any() else None,
        )
        for index, (numbers, label) in enumerate(zip(logits.float(), said, strict=True))
    ]
    return Results(manifest=manifest_of(labels, len(rows)), rows=tuple(rows))


def manifest_of(labels: Labels, videos: int, **fields: Any) -> Manifest:
    values: dict[str, Any] = {
        "model": "model.safetensors", "model_sha256": "1", "data": "Folders()", "data_sha256": "2", "split": "val",
        "videos": videos, "views": "4x3", "average": "logits", "shuffle_frames": False, "dtype": "float32",
        "labels": labels, "macs_per_view": 10**9, "device": "cpu", "processes": 1, "command": "tubelet evaluate",
        "created": "2026-01-01T00:00:00+00:00", "versions": {"tubelet": "0.1.0"},
    }  # fmt: skip
    return Manifest(**(values | fields))


def guesses(count: int, classes: int, right: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and targets of a head that is right so often, by chance."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, (count,), generator=generator)
    logits = torch.randn(count, classes, generator=generator)
    hit = torch.rand(count, generator=generator) < right
    logits[hit, target[hit]] = 5.0
    return logits, target
