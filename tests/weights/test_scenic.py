"""Scenic's files: every layout, the releases of its model zoo, and what is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from torch import Tensor

import tubelet
from tubelet import ConfigError, Head, Labels, ViViT, ViViTConfig, WeightsError, scenic_zoo
from tubelet.weights import scenic
from tubelet.weights.releases import RELEASES, Release
from tubelet.weights.rename import read, write

BLOCK = "Transformer/encoderblock_0"


def build(**fields: Any) -> ViViT:
    config = ViViTConfig(
        **{"frames": 32, "size": 8, "tubelet": (2, 4, 4), "width": 16, "depth": 1, "heads": 2, "hidden": 24}
        | fields
    )
    model = ViViT(config)
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


def nested(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    """A tree of maps as flax packs it, from names joined with `/`."""
    tree: dict[str, Any] = {}
    for name, tensor in flat.items():
        *parents, leaf = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        array = tensor.detach().numpy()
        place[leaf] = msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))
    return tree


def theirs(model: ViViT) -> dict[str, Tensor]:
    """A model's tensors under Scenic's names."""
    names = scenic.table(False, model.config.attention == "factorised_self_attention")
    return write(model.state_dict(), names, lambda _: 2)


def old(tree: dict[str, Any]) -> dict[str, Any]:
    return {"optimizer": {"target": tree, "state": {"step": 3}}, "global_step": 3, "model_state": {}}


def new(tree: dict[str, Any]) -> dict[str, Any]:
    return {"params": tree, "opt_state": {"0": {"trace": tree}}, "global_step": 3, "metadata": None}


def bare(tree: dict[str, Any]) -> dict[str, Any]:
    return tree


def save(model: ViViT, file: Path, layout: Callable[[dict[str, Any]], dict[str, Any]] = old) -> Path:
    file.write_bytes(msgpack.packb(layout(nested(theirs(model)))))
    return file


@pytest.mark.parametrize("layout", [old, new, bare])
@pytest.mark.parametrize(
    "attention", ["joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
)
def test_every_layout_of_every_model(tmp_path: Path, attention: Any, layout: Any) -> None:
    model = build(attention=attention, classes=(3,))
    clip = torch.rand(1, 32, 3, 8, 8)
    found = tubelet.load(save(model, tmp_path / "checkpoint", layout), model.config)
    with torch.no_grad():
        assert torch.equal(found.model(clip), model(clip))
    assert found.report is not None
    assert found.report.count("taken") == len(model.state_dict())


def test_heads_from_the_labels(tmp_path: Path) -> None:
    """A file of 5 logits may be one head of 5 or a noun and a verb; the labels say it, and what a class means."""
    file = save(build(classes=(5,)), tmp_path / "checkpoint")
    assert tubelet.load(file).labels.classes == (5,)
    two = Labels((Head("noun", ("cup", "pan", "tap")), Head("verb", ("take", "wash"))))
    found = tubelet.load(file, labels=two)
    assert found.model.config.classes == (3, 2)
    assert found.report is not None
    assert "classes" not in found.report.assumed
    many = tubelet.load(file, labels=Labels.single("abcde", multi_label=True))
    logits = torch.zeros(5)
    assert many.labels.probabilities(logits)["label"].tolist() == [0.5] * 5, "sigmoid, not softmax"
    with pytest.raises(WeightsError, match=r"output_projection|head\.weight"):
        tubelet.load(file, labels=Labels.single("abc"))


EXPECTED: dict[str, tuple[str, int, tuple[int, ...], tuple[int, ...], int | None, str]] = {
    "vivit_b_16x2_k400": ("joint", 768, (400,), (), 2, "4x3"),
    "vivit_b_16x2_fe_k400": ("factorised_encoder", 768, (400,), (4,), 2, "4x3"),
    "vivit_l_16x2_fe_k400": ("factorised_encoder", 1024, (400,), (4, 24), 2, "4x3"),
    "vivit_l_16x2_fe_k600": ("factorised_encoder", 1024, (600,), (4, 24), 2, "4x3"),
    "vivit_l_16x2_fe_epic": ("factorised_encoder", 1024, (300, 97), (4, 24), 1, "4x1"),
}
"""The model zoo as its page and the released configurations have it: model, width, heads, depths, stride, views."""


@pytest.mark.parametrize("name", EXPECTED)
def test_releases(name: str) -> None:
    found = scenic_zoo(name)
    config, view = found.config, found.view
    known = (config.attention, config.width, config.classes, found.temporal_depths, view.stride, view.views)
    assert known == EXPECTED[name]
    assert (view.frames, view.size, view.resize, view.value_range) == (32, 224, 256, (-1.0, 1.0))
    assert config.frames == 32
    assert config.pixels == (224, 224)
    assert config.has_class_token
    assert found.labels.classes == config.classes
    assert [head.name for head in found.labels.heads] == (["noun", "verb"] if "epic" in name else ["label"])


def test_release_names() -> None:
    assert set(RELEASES) == set(EXPECTED)
    with pytest.raises(ConfigError, match="vivit_l_16x2_fe_epic"):
        scenic_zoo("vivit_h_k400")


TREES = {
    "config_k400_base_spacetime": "vivit_b_16x2_k400",
    "config_k400_base_fe": "vivit_b_16x2_fe_k400",
    "config_epic_large_fe": "vivit_l_16x2_fe_epic",
}
"""Trees of parameters that were recorded at full size, and their releases."""


def small(found: Release, **fields: Any) -> Release:
    """A release with everything but its width and depth."""
    changed: dict[str, Any] = {"width": 8, "depth": 1, "heads": 2, "hidden": 8, "size": 16, **fields}
    return replace(
        found,
        config=replace(found.config, **changed),
        view=replace(found.view, size=16, resize=20),
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_release_is_read_whole(tmp_path: Path, name: str) -> None:
    """Made small in width; heads, depths in time, frames and tubelets are the real ones."""
    found = small(scenic_zoo(name))
    for depth in found.temporal_depths or (None,):
        model = ViViT(replace(found.config, temporal_depth=depth)).eval()
        torch.nn.init.normal_(model.head.weight)
        loaded = tubelet.load(save(model, tmp_path / "checkpoint"), found)
        assert loaded.model.config.temporal_depth == depth
        assert (loaded.view, loaded.labels) == (found.view, found.labels)
        assert loaded.report is not None
        assert set(loaded.report.assumed) == {"labels"}
        clip = torch.rand(1, 32, 3, 16, 16)
        with torch.no_grad():
            assert torch.equal(loaded.model(clip), model(clip))


def test_a_release_that_the_file_is_not(tmp_path: Path) -> None:
    found = small(scenic_zoo("vivit_l_16x2_fe_k400"))
    file = save(ViViT(replace(found.config, temporal_depth=3)), tmp_path / "checkpoint")
    with pytest.raises(WeightsError, match=r"missing: temporal\.blocks\.3"):
        tubelet.load(file, found)
    file = save(ViViT(replace(found.config, classes=(600,))), tmp_path / "checkpoint")
    with pytest.raises(WeightsError, match=r"head\.weight is \[600, 8\] in the file and \[400, 8\]"):
        tubelet.load(file, found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding/kernel": torch.ones(2, 4)}, "neither a 2D nor a 3D kernel"),
        ({"embedding/kernel": torch.ones(64, 4, 4, 3, 16)}, "no square grid"),
        ({"output_projection/bias": torch.ones(2, 2)}, "no model has tensors like output_projection/bias"),
        ({"Transformer/posembed_input/pos_embedding": torch.ones(1, 7, 16)}, "no square grid"),
        ({"Transformer/posembed_input/pos_embedding": torch.ones(1, 1, 16)}, "no square grid"),
        ({"Transformer/encoder_norm/scale": torch.ones(0)}, "has 0 bytes"),
        ({f"{BLOCK}/MultiHeadDotProductAttention_0/out/kernel": torch.ones(3)}, r"in the shape \[3\]"),
        ({f"Transformer/encoderblock_{i}/x": torch.ones(1) for i in range(1, 2000)}, "speaks of 2000 blocks"),
        ({"Transformer/encoderblock_0/LayerNorm_9/scale": torch.ones(1)}, "not understood: .*LayerNorm_9"),
    ],
)  # fmt: skip
def test_what_is_no_vivit(tmp_path: Path, change: dict[str, Tensor], message: str) -> None:
    tree = nested(theirs(build(classes=(3,))) | change)
    (tmp_path / "checkpoint").write_bytes(msgpack.packb(tree))
    with pytest.raises(WeightsError, match=message):
        tubelet.load(tmp_path / "checkpoint")


def test_half_precision_is_widened(tmp_path: Path) -> None:
    flat = {name: tensor.to(torch.float16) for name, tensor in theirs(build(classes=(3,))).items()}
    (tmp_path / "checkpoint").write_bytes(msgpack.packb(nested(flat)))
    model = tubelet.load(tmp_path / "checkpoint").model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert np.isfinite(model.head.weight.detach().numpy()).all()


@pytest.mark.parametrize("tree", TREES)
def test_the_names_and_shapes_of_a_release(golden: Path, tree: str) -> None:
    """Those of the official code at full size: nothing is missing, left over or of another shape."""
    shapes = json.loads((golden / "parameter_trees" / f"{tree}.json").read_text())["params"]
    parameters = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = scenic.release_config(parameters, scenic_zoo(TREES[tree]))
    assert config.temporal_depth in (None, 4)
    renamed, unknown = read(parameters, scenic.table())
    assert not unknown
    own = {name: tensor.shape for name, tensor in ViViT.hollow(config).state_dict().items()}
    assert {r.ours: r.tensor.shape for r in renamed} == own
