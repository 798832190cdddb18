import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tubelet.data.folders import Folders
from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.training.config import Frozen, Optimizer, Pretrained, Train
from tubelet.video.view import View

JOINT = ViViTConfig(frames=4, size=16, tubelet=(2, 8, 8), width=16, depth=2, heads=2, hidden=16)
RUN = Train(
    data=Folders(root=Path("clips")),
    model=JOINT,
    view=View(frames=4, stride=1, size=16, value_range=(-1.0, 1.0)),
    out=Path("out"),
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "nothing would be learned"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"patience": 0}, "patience=0"),
        ({"workers": -1}, "workers=-1"),
        ({"model": replace(JOINT, frames=8)}, "8 frames and the view shows 4"),
        ({"frozen": Frozen()}, "factorised_encoder only"),
        ({"lora": 4}, "give a start"),
        ({"lora": 0}, "lora=0"),
        ({"trainable_blocks": 3}, "trainable_blocks=3 of a model of 2"),
        ({"optimizer": Optimizer(layer_decay=0.5)}, "there is none"),
        (
            {"frozen": Frozen(), "model": replace(JOINT, attention="factorised_encoder", pool="max")},
            "pool='max'",
        ),
        (
            {"frozen": Frozen(), "model": replace(JOINT, attention="factorised_encoder", temporal_depth=0)},
            "sine_positions",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(RUN, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"lr": 0.0},
        {"clip_norm": 0.0},
        {"weight_decay": -1.0},
        {"layer_decay": 0.0},
        {"betas": (0.9, 1.0)},
        {"warmup": 1.0},
    ],
)
def test_optimizer_values(fields: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Optimizer(**fields)


@pytest.mark.parametrize("name", ["epochs", "draws", "batch_size"])
def test_frozen_values(name: str):
    with pytest.raises(ConfigError, match=f"{name}=0"):
        Frozen(**{name: 0})


def test_a_run_as_json():
    run = replace(RUN, start=Pretrained(file=Path("vit.safetensors")))
    values = json.loads(json.dumps(run.to_dict()))
    assert values["data"]["root"] == "clips"
    assert values["start"]["file"] == "vit.safetensors"
    assert values["optimizer"]["betas"] == [0.9, 0.98]
    assert "out" not in values
