from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_motion
from tubelet.data.folders import Folders
from tubelet.recipes.folder import folder
from tubelet.training import train


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"frozen_epochs": 1, "size": (32, 48)},
        {"stride": 1},
    ],
)
def test_builds_and_trains(tmp_path: Path, fields: dict[str, Any]):
    root = write_motion(tmp_path / "clips", 2)
    size = fields.pop("size", 32)
    run = folder(Folders(root=root), tmp_path / "out", blocks=1, frames=4, size=size, **fields)
    run = replace(run, epochs=1, workers=0)
    assert run.view.size == run.model.size == size
    classifier = train(run, progress=False)
    assert classifier.labels.heads[0].classes == ("left", "right")


def test_starts_from_an_image_vit(shared: Path, tmp_path: Path):
    file = shared / "data/deit-tiny-imagenet1k/deit_tiny_patch16_224.safetensors"
    run = folder(Folders(root=tmp_path), tmp_path / "out", init=file, blocks=3)
    assert run.model.activation == "gelu_erf"
    assert run.model.depth == 3
    assert run.init is not None
    assert run.init.file == file
