"""The names of parameters are public: saved models depend on them. Change them only with a way to read the old."""

import json
from pathlib import Path

import torch

from tubelet.models.variants import VARIANTS
from tubelet.models.vivit import ViViT

PINNED = Path(__file__).parent / "parameter_names.json"


def names(name: str) -> dict[str, list[int]]:
    with torch.device("meta"):
        model = ViViT(VARIANTS[name].config)
    return {key: list(value.shape) for key, value in model.state_dict().items()}


def test_pinned() -> None:
    pinned = json.loads(PINNED.read_text())
    assert set(pinned) == {"b-16x2", "b-16x2-fe", "b-16x2-fsa", "b-16x2-fdp"}
    for name, expected in pinned.items():
        assert {k: v for k, v in names(name).items() if ".blocks." not in k or ".blocks.0." in k} == expected
