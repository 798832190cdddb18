"""Starting from an image ViT, against the official initialisation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.parity.test_scenic import SHARED, cases, config_of, pixels
from tubelet.models.vivit import ViViT
from tubelet.weights import scenic
from tubelet.weights.files import flatten, read_msgpack
from tubelet.weights.rename import read
from tubelet.weights.start import Start, fill_from_image, image_config, start_from_image

INFLATION = {
    "central_frame_initializer": "central_frame",
    "average_frame_initializer": "average",
    "average_arp_frame_initializer": "average_arp",
}


def covered(name: str) -> bool:
    """Starts from an image ViT in a Scenic file, with everything restored but the head."""
    if name == "absent":
        return True
    case = json.loads((SHARED / "init" / name / "config.json").read_text())
    return (
        case["source"].get("kind") == "image_vit"
        and case["source_file"] == "source_checkpoint"
        and not case["restore_output_projection"]
        and case["init_from"].get("restore_positional_embedding", True)
        and "same_length" not in name
    )


def parameters(path: Path) -> dict[str, torch.Tensor]:
    tree = flatten(read_msgpack(path))
    image = tree["embedding/kernel"].ndim == 4
    renamed, unknown = read(tree, scenic.table(image, scenic.is_factorised_attention(tree)))
    assert not unknown
    return {r.ours: r.tensor for r in renamed}


@pytest.mark.parametrize("name", [c for c in cases("init") if covered(c)])
def test_official_initialisation(golden: Path, name: str) -> None:
    folder = golden / "init" / name
    case: dict[str, Any] = json.loads((folder / "config.json").read_text())
    target = case["target"]
    model = ViViT(config_of(target))
    model.load_state_dict(parameters(folder / "target_before.msgpack"))
    rules = Start(
        inflation=INFLATION[target.get("kernel_init_method", "central_frame_initializer")],  # pyright: ignore[reportArgumentType]
        temporal_attention="copied" if case["init_from"].get("init_temporal_transformer", True) else "random",
    )
    report = fill_from_image(model, folder / "source_checkpoint", rules)
    after = parameters(folder / "target_after.msgpack")
    for ours, tensor in model.state_dict().items():
        torch.testing.assert_close(
            tensor, after[ours], rtol=1e-6, atol=1e-6, msg=lambda m, n=ours: f"{n}: {m}"
        )
    assert {row.ours for row in report.rows if row.ours} == set(after)
    recorded = np.load(folder / "io.npz")
    with torch.no_grad():
        logits = model.eval()(pixels(recorded["video"])).numpy()
    assert np.abs(logits - recorded["logits"]).max() <= 2e-5 * np.abs(recorded["logits"]).max()


@pytest.mark.parametrize("attention", ["joint", "factorised_encoder", "factorised_self_attention"])
def test_a_still_video_is_an_image(shared: Path, attention: str) -> None:
    """With one frame per tubelet and time switched off, the ViViT computes DeiT's own features of the picture."""
    file = shared / "data" / "deit-tiny-imagenet1k" / "deit_tiny_patch16_224.safetensors"
    fields: dict[str, Any] = {"attention": attention, "frames": 2, "classes": (5,)}
    if attention == "factorised_encoder":
        fields["temporal_depth"] = 0
    rules = Start(inflation="average", spatial_class_token="copied", temporal_attention="zero")
    config = image_config(file, **fields)
    assert (config.width, config.depth, config.heads, config.hidden) == (192, 12, 3, 768)
    assert config.activation == "gelu_erf"
    model, report = start_from_image(config, file, rules)
    assert report.count("inflated") == 1
    assert "mean, std" in report.assumed
    picture = torch.rand(1, 1, 3, 224, 224)
    image_model, _ = start_from_image(
        image_config(
            file, frames=1, tubelet=1, attention="joint", pool="class" if config.pool is None else None
        ),
        file,
    )
    with torch.no_grad():
        if attention == "factorised_self_attention":
            image_model, _ = start_from_image(
                image_config(file, frames=1, tubelet=1, attention=attention), file, rules
            )
        still = model.eval().features(picture.expand(-1, 2, -1, -1, -1))
        image = image_model.eval().features(picture)
    torch.testing.assert_close(still, image, rtol=1e-4, atol=1e-4)
