"""Folders that are written for transformers, loaded by the live ViViT and its processors."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tubelet.classifier import Classifier
from tubelet.cli import convert
from tubelet.errors import WeightsError
from tubelet.labels import Head, Labels
from tubelet.loading import load
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video import geometry
from tubelet.video.processor import read_processor, write_processor
from tubelet.video.view import View
from tubelet.weights.huggingface import read_classifier
from tubelet.weights.to_huggingface import write_huggingface

SMALL = ViViTConfig(frames=4, size=16, tubelet=(2, 8, 8), width=24, depth=2, heads=4, hidden=40, classes=(3,))
NAMES = Labels.single(["jump", "läuft", "run"])
VIEW = View.huggingface(
    {"do_normalize": False, "size": {"shortest_edge": 20}, "crop_size": 16}, frames=4, stride=2
)


def make(config: ViViTConfig = SMALL) -> ViViT:
    model = ViViT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"activation": "gelu_erf", "norm_eps": 1e-3},
        {"activation": "relu", "qkv_bias": False, "drop_path": 0.1},
        {"size": (16, 24)},
    ],
)
def test_the_live_model_has_the_same_logits(tmp_path: Path, fields: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    ours = make(replace(SMALL, **fields))
    view = replace(VIEW, size=ours.config.size)
    write_huggingface(ours, view, NAMES, tmp_path / "out")
    theirs, found = transformers.VivitForVideoClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(found[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.id2label == {0: "jump", 1: "läuft", 2: "run"}
    assert theirs.config.label2id["run"] == 2
    video = torch.randn(2, 4, 3, *ours.config.pixels)
    logits = theirs.eval()(pixel_values=video).logits
    assert (ours(video) - logits).abs().max() <= 1e-5 * max(float(logits.abs().max()), 1)
    again, same, labels, report = read_classifier(tmp_path / "out")
    assert torch.equal(again(video), ours(video))
    assert (same, labels) == (view, NAMES)
    assert again.config == replace(ours.config, drop_path=0.0)
    assert report.count("taken") == len(report.rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("processor", ["VivitImageProcessor", "VivitVideoProcessor"])
@pytest.mark.parametrize(
    "values",
    [
        {"value_range": (-1.0, 1.0)},
        {"value_range": (0.0, 1.0)},
        {"value_range": (-3.0, 1.0)},
        {"value_range": None, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)},
    ],
)
@pytest.mark.parametrize("fit", ["shorter_side", "squash"])
def test_the_live_processor_looks_as_the_view_does(
    tmp_path: Path, processor: str, values: dict[str, Any], fit: Any
) -> None:
    transformers = pytest.importorskip("transformers")
    view = replace(VIEW, **values, fit=fit, resize=20 if fit == "shorter_side" else (18, 17))
    write_huggingface(make(), view, NAMES, tmp_path / "out")
    live = getattr(transformers, processor).from_pretrained(tmp_path / "out")
    frames = torch.randint(0, 256, (4, 3, 24, 32), dtype=torch.uint8)
    given = list(frames.permute(0, 2, 3, 1).numpy()) if "Image" in processor else frames
    expected = live(given, return_tensors="pt")["pixel_values"][0]
    ours = view.normalise(geometry.centre(view, geometry.fitted(view, frames)))
    grey_level = float(
        (
            view.normalise(torch.ones(1, 3, 1, 1, dtype=torch.uint8))
            - view.normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
        ).max()
    )
    # The video processor resizes with torchvision, which rounds some values to the neighbouring grey level.
    assert (ours - expected).abs().max() <= (1e-5 if "Image" in processor else 1.01 * grey_level)
    assert transformers.AutoImageProcessor.from_pretrained(tmp_path / "out").size == live.size


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value_range": None, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)},
        {"fit": "squash", "resize": (18, 17)},
        {"fit": "none", "resize": None},
        {"fit": "squash", "resize": None, "crop": False, "pad": False},
        {"interpolation": "lanczos", "size": (16, 20)},
    ],
)
def test_views_come_back(changes: dict[str, Any]) -> None:
    view = replace(VIEW, **changes)
    again = View.huggingface(write_processor(view), frames=4, stride=2)
    for name, value in again.to_dict().items():
        expected = view.to_dict()[name]
        if name == "resize" and expected is None and view.fit == "squash":
            expected = [view.height, view.width]
        assert value == (pytest.approx(expected) if name in ("mean", "std", "value_range") else expected), (
            name
        )


def test_one_error_lists_every_reason(tmp_path: Path) -> None:
    config = ViViTConfig(
        attention="factorised_encoder",
        frames=4,
        size=16,
        tubelet=(1, 8, 8),
        sampled_frames=2,
        width=24,
        depth=1,
        heads=4,
        head_dim=5,
        hidden=16,
        classes=(3, 2),
        pool="mean",
        positions="sinusoidal_1d",
        representation=8,
        final_norm=False,
        pooled_norm_eps=1e-5,
    )
    view = replace(VIEW, region=(0.0, 0.0, 0.5, 1.0))
    labels = Labels((Head("a", ("x", "y", "z")), Head("b", ("u", "v"))))
    with pytest.raises(WeightsError) as error:
        write_huggingface(ViViT(config), view, labels, tmp_path / "out")
    for word in (
        "Model 1 only",
        "2 heads",
        "class token",
        "learned",
        "representation",
        "sampled_frames",
        "final_norm",
        "pooled_norm_eps",
        "head_dim",
        "region",
    ):
        assert word in str(error.value)
    assert str(error.value).count("\n") == 10
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("attention", ["factorised_self_attention", "factorised_dot_product"])
def test_models_3_and_4_are_refused(tmp_path: Path, attention: Any) -> None:
    with pytest.raises(WeightsError, match=r"Model 1 only(.|\n)*pool='mean'"):
        write_huggingface(ViViT(replace(SMALL, attention=attention)), VIEW, NAMES, tmp_path)


PROBLEMS = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "number": "regression",
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_command_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: Any) -> None:
    model = make()
    labels = Labels((Head("label", ("a", "b", "c"), kind),))
    start = Classifier(model, replace(VIEW, interpolation="bilinear"), labels).save(tmp_path / "start")
    arguments = [str(start), str(tmp_path / "theirs"), "--to", "huggingface"]
    assert convert.main("tubelet convert", arguments) == 0
    out = capsys.readouterr().out
    assert "without antialiasing" in out
    assert "every 2 frames, 4 of them" in out
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["problem_type"] == PROBLEMS[kind]
    assert convert.main("tubelet convert", [str(tmp_path / "theirs"), str(tmp_path / "ours")]) == 0
    out = capsys.readouterr().out
    assert "(Hugging Face ViViT): 40 taken" in out
    assert "assumed stride = 2" in out
    end = load(tmp_path / "ours")
    assert end.labels == labels
    assert all(torch.equal(t, end.model.state_dict()[name]) for name, t in model.state_dict().items())
    for to in ("huggingface", "tubelet"):
        with pytest.raises(WeightsError, match="is not empty"):
            convert.main("tubelet convert", [str(start), str(tmp_path / "ours"), "--to", to])


def test_numbered_classes_stay_numbered(tmp_path: Path) -> None:
    write_huggingface(make(), VIEW, Labels.numbered([3]), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"]["2"] == "LABEL_2"
    assert read_classifier(tmp_path)[2] == Labels.numbered([3])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["VideoMAEImageProcessor", "VideoMAEImageProcessorPil", "VideoMAEVideoProcessor"]
)
def test_videomae_processors(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=16,
        num_frames=4,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    transformers.VideoMAEForVideoClassification(config).save_pretrained(tmp_path)
    processor = getattr(transformers, name)(
        size={"shortest_edge": 20},
        crop_size={"height": 16, "width": 16},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(tmp_path)
    _, view, _, report = read_classifier(tmp_path)
    assert "view" not in report.assumed
    frames = torch.randint(0, 256, (4, 3, 24, 32), dtype=torch.uint8)
    given = frames if "Video" in name.removeprefix("VideoMAE") else list(frames.permute(0, 2, 3, 1).numpy())
    expected = torch.as_tensor(np.asarray(next(iter(processor(given, return_tensors="pt").values()))))[0]
    ours = view.normalise(geometry.centre(view, geometry.fitted(view, frames)))
    assert (ours - expected).abs().max() <= (1e-5 if name.endswith("Pil") else 1.01 / 255 / 0.224)


def test_what_a_videomae_processor_does_not_say() -> None:
    from tubelet.weights.videomae import PROCESSOR

    found = read_processor({**PROCESSOR, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    assert found.value_range == pytest.approx((-1.0, 1.0))
    assert found.resize == 224
