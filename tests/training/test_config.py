import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tubelet.data.folders import Folders
from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.training.config import Frozen, Optimizer, Partial, Pretrained, Train
from tubelet.video.view import View

JOINT = ViViTConfig(frames=4, size=16, tubelet=(2, 8, 8), width=16, depth=2, heads=2, hidden=16)
RUN = Train(
    data=Folders(root=Path("clips")),
    model=JOINT,
    view=View(frames=4, stride=1, size=16, value_range=(-1.0, 1.0)),
    out=Path("out"),
)


FLIPPED = replace(RUN.view, flip=True)


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
        ({"lora": 4}, "give init"),
        ({"lora": 0}, "lora=0"),
        ({"trainable_blocks": 3}, "trainable_blocks=3 of a model of 2"),
        ({"partial": Partial(blocks=1), "sharded": True}, "partial is not for sharded=True"),
        ({"partial": Partial(blocks=3)}, "partial.blocks=3 of a model of 2"),
        ({"optimizer": Optimizer(layer_decay=0.5)}, "there is none"),
        ({"replicas": 0}, "replicas=0"),
        ({"replicas": 3}, "batch_size=16 is not divided by replicas=3"),
        ({"clips_per_video": 5}, "not divided by clips_per_video=5"),
        ({"mixup": 0.0}, "mixup=0.0 is not above 0; None is off"),
        ({"cutmix": -1.0}, "cutmix=-1.0"),
        ({"mixup": 0.3, "replicas": 16}, "has one clip in each"),
        ({"ema": 1.0}, "ema=1.0 is a decay"),
        ({"flip_swaps": (("left", "right"),)}, "view.flip=False makes none"),
        ({"flip_swaps": (("left", "right"), ("right", "up")), "view": FLIPPED}, "in one pair only"),
        ({"flip_swaps": (("left", "right", "up"),), "view": FLIPPED}, "give pairs"),
        (
            {
                "frozen": Frozen(),
                "model": replace(JOINT, attention="factorised_encoder"),
                "epochs": 0,
                "mixup": 0.3,
            },
            "mixup: of the stages on videos",
        ),
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
        {"warmup_steps": 0.0},
        {"warmup_steps": 5.0, "warmup": 0.1},
        {"l2": -1.0},
        {"explicit_decay": -1.0},
        {"sam": 0.0},
        {"clip": "somewhere"},
        {"clip": "per_replica", "clip_norm": None},
    ],
)
def test_optimizer_values(fields: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Optimizer(**fields)


@pytest.mark.parametrize("name", ["epochs", "draws", "batch_size"])
def test_frozen_values(name: str):
    with pytest.raises(ConfigError, match=f"{name}=0"):
        Frozen(**{name: 0})


def test_mixup_of_the_frozen_stage():
    with pytest.raises(ConfigError, match=r"frozen\.mixup=0"):
        Frozen(mixup=0.0)


def test_a_run_as_json():
    run = replace(RUN, init=Pretrained(file=Path("vit.safetensors")))
    values = json.loads(json.dumps(run.to_dict()))
    assert values["data"]["root"] == "clips"
    assert values["init"]["file"] == "vit.safetensors"
    assert values["optimizer"]["betas"] == [0.9, 0.98]
    assert "out" not in values
    run = replace(run, view=FLIPPED, flip_swaps=(("left", "right"),))
    assert run.to_dict()["flip_swaps"] == [["left", "right"]]
