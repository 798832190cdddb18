"""Starting from other weights: every recorded case of the official code, and live image ViTs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.parity.test_scenic import cases, config_of, pixels
from tubelet.classifier import Classifier
from tubelet.labels import Labels
from tubelet.models.vivit import ViViT
from tubelet.starting import source_of
from tubelet.video.view import View
from tubelet.weights import scenic
from tubelet.weights.files import flatten, read_msgpack
from tubelet.weights.image_vit import read_image_vit
from tubelet.weights.rename import read
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start
from tubelet.weights.surgeon import fill

INFLATION = {
    "central_frame_initializer": "central_frame",
    "average_frame_initializer": "average",
    "average_arp_frame_initializer": "average_arp",
}


def parameters(path: Path) -> dict[str, torch.Tensor]:
    tree = flatten(read_msgpack(path))
    image = tree["embedding/kernel"].ndim == 4
    renamed, unknown = read(tree, scenic.table(image, scenic.is_factorised_attention(tree)))
    assert not unknown
    return {r.ours: r.tensor for r in renamed}


def source_model(folder: Path, case: dict[str, Any]) -> SourceModel:
    """The source of a recorded case. A Scenic ViViT's frames are said, because no tensor fixes them."""
    file = folder / case["source_file"]
    if case["source"].get("kind") == "image_vit":
        return read_image_vit(file)
    model, _ = scenic.load_scenic(file, config_of(case["source"]))
    config = model.config
    view = View.scenic(frames=config.frames, size=config.size, jitter=None, resize=min(config.pixels))
    return source_of(Classifier(model, view, Labels.numbered(config.classes)))


def rules_of(case: dict[str, Any]) -> Start:
    """The named choices that a recorded case stands for."""
    init, target = case["init_from"], case["target"]
    positions = {"tile": "tile", "resize": "resize", "resize_tile": "resize_tile"}
    kernel = INFLATION[target.get("kernel_init_method", "central_frame_initializer")]
    return Start(
        inflation=kernel if init.get("restore_input_embedding", True) else "kept",  # pyright: ignore[reportArgumentType]
        positions=positions[init["positional_embed_size_change"]]  # pyright: ignore[reportArgumentType]
        if init.get("restore_positional_embedding", True)
        else "kept",
        temporal_attention="copied" if init.get("init_temporal_transformer", True) else "random",
        heads="kept" if case["restore_output_projection"] else "new",
    )


@pytest.mark.parametrize("name", cases("init"))
def test_official_initialisation(golden: Path, name: str) -> None:
    folder = golden / "init" / name
    case: dict[str, Any] = json.loads((folder / "config.json").read_text())
    model = ViViT(config_of(case["target"]))
    model.load_state_dict(parameters(folder / "target_before.msgpack"))
    report = fill(model, source_model(folder, case), rules_of(case))
    after = parameters(folder / "target_after.msgpack")
    for ours, tensor in model.state_dict().items():
        torch.testing.assert_close(
            tensor, after[ours], rtol=1e-6, atol=1e-6, msg=lambda m, n=ours: f"{n}: {m}"
        )
    assert {row.ours for row in report.rows if row.ours} == set(after)
    unchanged = sum(was == "unchanged" for was in case["result_per_parameter"].values())
    assert report.count("fresh") == unchanged
    recorded = np.load(folder / "io.npz")
    with torch.no_grad():
        logits = model.eval()(pixels(recorded["video"])).numpy()
    assert np.abs(logits - recorded["logits"]).max() <= 2e-5 * np.abs(recorded["logits"]).max()


@pytest.mark.parametrize("name", cases("init"))
def test_an_image_vit_run_as_one(golden: Path, name: str) -> None:
    """As a model of one frame it gives the recorded logits of the image model itself."""
    folder = golden / "init" / name
    case: dict[str, Any] = json.loads((folder / "config.json").read_text())
    if case["source"].get("kind") != "image_vit":
        assert "source_logits" not in np.load(folder / "io.npz")
        return
    recorded = np.load(folder / "io.npz")
    source = read_image_vit(folder / case["source_file"])
    model = ViViT(source.config)
    fill(model, source, Start(heads="kept"))
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(recorded["source_image"]).movedim(-1, 1)[:, None])
    assert (logits - torch.from_numpy(recorded["source_logits"])).abs().max() <= 1e-5
