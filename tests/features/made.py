"""Files of features without a model: made-up vectors and tokens."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tubelet.data.source import Sample
from tubelet.features import journal
from tubelet.features.columns import Row
from tubelet.features.description import Description
from tubelet.features.file import Features, read_features
from tubelet.labels import Head, Label

CLASSES = ("a", "b", "c")
SINGLE = (Head("label", CLASSES),)


def described(shape: tuple[int, ...], videos: int, heads: tuple[Head, ...] = SINGLE) -> Description:
    return Description(
        model="", model_sha256="0" * 64, view={}, views="1x1", layer="head" if len(shape) == 1 else "encoder",
        pool=None if len(shape) == 1 else "none", shape=shape, grid=(1, 1, 1), class_token=False, dtype="float32",
        fewer_tokens=None, storage="float32", heads=heads, data="made up", data_sha256="", videos=videos, versions={},
    )  # fmt: skip


def write(
    file: Path,
    features: NDArray[np.float32],
    labels: Sequence[tuple[Label, ...]],
    splits: Sequence[str],
    heads: tuple[Head, ...] = SINGLE,
    groups: Sequence[str] | None = None,
) -> Features:
    """Features `(N, *shape)` as a file."""
    description = described(features.shape[1:], len(features), heads)
    samples = [
        Sample(
            path=Path(f"/made/{number}.mp4"),
            labels=label,
            split=split,
            group=None if groups is None else groups[number],
        )
        for number, (label, split) in enumerate(zip(labels, splits, strict=True))
    ]
    journal.begin(file, description)
    rows = [Row(index=number, vector=vector) for number, vector in enumerate(features)]
    journal.write(file, rows, samples, description)
    journal.finish(file, description)
    return read_features(file)


def clouds(file: Path, count: int = 120, width: int = 8, distance: float = 2.0, test: int = 60) -> Features:
    """Three clouds of points, one for each class: train, val and test rows."""
    rng = np.random.default_rng(0)
    total = count + 30 + test
    classes = rng.integers(0, 3, total)
    centres = rng.normal(size=(3, width)) * distance
    vectors = (centres[classes] + rng.normal(size=(total, width))).astype(np.float32)
    splits = ["train"] * count + ["val"] * 30 + ["test"] * test
    return write(file, vectors, [(int(c),) for c in classes], splits)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
