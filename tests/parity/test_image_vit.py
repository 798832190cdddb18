"""Image ViTs against the live libraries of their authors, with random weights: features and logits 1e-5."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import tubelet
from tubelet.errors import WeightsError
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.image_names import TIMM
from tubelet.weights.image_vit import join_qkv, read_image_vit
from tubelet.weights.rename import write
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start
from tubelet.weights.surgeon import fill

SIZES = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SIZES |= {"image_size": 32, "patch_size": 8, "num_labels": 5}


@torch.no_grad()
def randomise(model: nn.Module) -> nn.Module:
    """Every parameter random, none of a size that would hide another."""
    for parameter in model.parameters():
        parameter.normal_(0, 0.1 if parameter.ndim > 1 else 0.3)
    return model.eval()


def as_one_frame(source: SourceModel, heads: str = "kept") -> ViViT:
    """The image ViT run as what it is: a ViViT of one frame."""
    model = ViViT(source.config)
    fill(model, source, Start(heads=heads))  # pyright: ignore[reportArgumentType]
    return model.eval()


def near(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * max(1, theirs.abs().max())


def without_distillation(model: Any, pixels: Tensor) -> Tensor:
    """The features of the class token as DeiT's authors compute them, had there been no distillation token."""
    tokens = model.embeddings(pixels)
    tokens = torch.cat((tokens[:, :1], tokens[:, 2:]), dim=1)
    for layer in model.layers:
        tokens = layer(tokens)
    return model.layernorm(tokens)[:, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["folder", "folder of 5.x names", "state dict"])
@pytest.mark.parametrize("kind", ["ViT", "DeiT", "DeiT with teacher"])
def test_hugging_face(tmp_path: Path, kind: str, form: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the live comparison needs transformers")
    name = f"{kind.split()[0]}ForImageClassification" + "WithTeacher" * kind.endswith("teacher")
    config = getattr(transformers, f"{kind.split()[0]}Config")(**SIZES)
    theirs: Any = randomise(getattr(transformers, name)(config))
    if form == "state dict":
        torch.save(theirs.state_dict(), tmp_path / "vit.pth")
        source = read_image_vit(tmp_path / "vit.pth")
        assert "heads" in source.assumed
    else:
        theirs.save_pretrained(tmp_path, save_original_format=form == "folder")
        source = read_image_vit(tmp_path)
        assert set(source.assumed) == {"mean, std"}
    assert source.config.norm_eps == 1e-12
    assert source.config.activation == "gelu_erf"
    assert source.view.mean == ((0.5,) * 3 if kind == "ViT" else (0.485, 0.456, 0.406))
    ours, pixels = as_one_frame(source), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        features, logits = ours.features(pixels[:, None]), ours(pixels[:, None])
        if kind == "ViT":
            expected = theirs.vit(pixels).last_hidden_state[:, 0]
            near(logits, theirs(pixels).logits)
        else:
            expected = without_distillation(theirs.deit, pixels)
            near(logits, (theirs.cls_classifier if kind.endswith("teacher") else theirs.classifier)(expected))
    near(features, expected)
    left = {row.theirs.split(".")[0] for row in source.left}
    assert left == {"ViT": set(), "DeiT": {"embeddings"}}.get(kind, {"embeddings", "distillation_classifier"})
    assert ("encoder.positions.table" in source.split) == (kind != "ViT")


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_backbones_and_their_settings(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the live comparison needs transformers")
    settings = {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "qkv_bias": False, "num_channels": 1}
    settings |= {"image_size": (32, 16), "num_attention_heads": 8}
    theirs: Any = randomise(transformers.ViTModel(transformers.ViTConfig(**SIZES | settings)))
    theirs.save_pretrained(tmp_path)
    processor = '{"image_mean": [0.1], "image_std": [0.2]}'
    (tmp_path / "preprocessor_config.json").write_text(processor)
    source = read_image_vit(tmp_path)
    assert source.normalisation == ((0.1,), (0.2,))
    assert source.config.size == (32, 16)
    assert {row.theirs for row in source.left} == {"pooler.dense.weight", "pooler.dense.bias"}
    pixels = torch.randn(2, 1, 32, 16)
    with torch.no_grad():
        near(as_one_frame(source, "new").features(pixels[:, None]), theirs(pixels).last_hidden_state[:, 0])


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_timm(tmp_path: Path, distilled: bool) -> None:
    timm = pytest.importorskip("timm", reason="the live comparison needs timm, which no extra installs")
    kind = timm.models.deit.VisionTransformerDistilled if distilled else timm.models.VisionTransformer
    theirs = randomise(
        kind(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, mlp_ratio=0.5, num_classes=5)
    )
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    source = read_image_vit(tmp_path / "vit.safetensors")
    ours, pixels = as_one_frame(source), torch.randn(3, 3, 32, 32)
    assert {row.theirs for row in source.left} == (
        {"dist_token", "head_dist.weight", "head_dist.bias"} if distilled else set()
    )
    with torch.no_grad():
        if not distilled:
            near(ours(pixels[:, None]), theirs(pixels))
            return
        tokens = theirs.pos_embed[:, 2:] + theirs.patch_embed(pixels)
        first = (theirs.cls_token + theirs.pos_embed[:, :1]).expand(3, -1, -1)
        expected = theirs.norm(theirs.blocks(torch.cat((first, tokens), dim=1)))[:, 0]
        near(ours.features(pixels[:, None]), expected)
        near(ours(pixels[:, None]), theirs.head(expected))


def timm_names(model: ViViT) -> dict[str, Tensor]:
    """A ViViT of one frame under timm's names."""
    return join_qkv(write(model.state_dict(), TIMM, lambda _: model.config.heads))


@pytest.mark.filterwarnings("ignore")
def test_dino(tmp_path: Path) -> None:
    """Backbones, and the teachers of whole checkpoints; the heads of their training are left out."""
    transformers = pytest.importorskip(
        "transformers", reason="DINO's backbone is this ViT with another epsilon"
    )
    theirs: Any = randomise(transformers.ViTModel(transformers.ViTConfig(**SIZES, layer_norm_eps=1e-6)))
    theirs.save_pretrained(tmp_path / "hf")
    backbone = timm_names(as_one_frame(read_image_vit(tmp_path / "hf"), "new"))
    backbone = {name: tensor for name, tensor in backbone.items() if not name.startswith("head.")}
    head = {"head.mlp.0.weight": torch.ones(4, 128), "head.last_layer.weight_v": torch.ones(9, 4)}
    teacher = {f"backbone.{name}": tensor for name, tensor in backbone.items()} | head
    student = {f"module.{name}": torch.zeros_like(tensor) for name, tensor in teacher.items()}
    whole = {"student": student, "teacher": teacher, "epoch": 7, "args": Namespace(arch="vit_small", lr=0.1)}
    files = {"backbone": backbone, "teacher": teacher, "whole": whole}
    files["wrapped"] = {f"module.{name}": tensor for name, tensor in teacher.items()}
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = theirs(pixels).last_hidden_state[:, 0]
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        source = read_image_vit(tmp_path / f"{name}.pth")
        assert {row.theirs for row in source.left} == (set() if name == "backbone" else set(head))
        with torch.no_grad():
            near(as_one_frame(source, "new").features(pixels[:, None]), expected)


def small() -> dict[str, Tensor]:
    config = ViViTConfig(
        frames=1,
        size=16,
        tubelet=(1, 8, 8),
        width=64,
        depth=2,
        heads=1,
        hidden=16,
        classes=(3,),
        pool="class",
    )
    return timm_names(ViViT(config))


def test_everything_unexpected_is_one_error(tmp_path: Path) -> None:
    tensors = small()
    file = tmp_path / "vit.safetensors"
    save_file({**tensors, "reg_token": torch.ones(1), "blocks.0.ls1.gamma": torch.ones(64)}, file)
    with pytest.raises(WeightsError) as error:
        read_image_vit(file)
    assert "reg_token" in str(error.value)
    assert "blocks.0.ls1.gamma" in str(error.value)
    broken = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in ("norm.bias", "blocks.1.mlp.fc1.weight")
    }
    save_file({**broken, "blocks.1.norm2.weight": torch.ones(7)}, file)
    with pytest.raises(WeightsError) as error:
        read_image_vit(file)
    for part in (
        "missing: encoder.norm.bias",
        "missing: encoder.blocks.1.mlp.layer.fc1.weight",
        "is [7], not [64]",
    ):
        assert part in str(error.value)
    save_file({"a": torch.ones(1)}, file)
    with pytest.raises(WeightsError, match="not understood: a"):
        read_image_vit(file)
    save_file({**tensors, "pos_embed": torch.ones(1, 8, 64)}, file)
    with pytest.raises(WeightsError, match="no grid"):
        read_image_vit(file)


def test_positions_without_a_class_tokens(tmp_path: Path) -> None:
    tensors = small()
    save_file({**tensors, "pos_embed": tensors["pos_embed"][:, 1:].clone()}, tmp_path / "vit.safetensors")
    source = read_image_vit(tmp_path / "vit.safetensors")
    table = source.named["encoder.positions.table"]
    assert not table[:, 0].any()
    assert torch.equal(table[:, 1:], tensors["pos_embed"][:, 1:])


def test_a_folder_of_timm(tmp_path: Path) -> None:
    save_file(small(), tmp_path / "model.safetensors")
    config: dict[str, Any] = {"architecture": "vit_tiny_patch8_16", "num_classes": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_image_vit(tmp_path).view.mean == (0.485, 0.456, 0.406)
    config["pretrained_cfg"] = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.5, 0.5]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = read_image_vit(tmp_path)
    assert source.normalisation == ((0.5, 0.4, 0.3), (0.5, 0.5, 0.5))
    assert set(source.assumed) == {"heads"}
    assert tubelet.load(tmp_path, tubelet.start_config(tmp_path, frames=4)).view.mean == (0.5, 0.4, 0.3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": 0}, {"image_size": "big"}, {"image_size": []}, {"num_attention_heads": 0},
        {"num_attention_heads": 300}, {"id2label": {"a": "b"}}, {"layer_norm_eps": -1}, {"hidden_act": ["gelu"]},
        {"image_size": 48}, {"id2label": 3}, {"layer_norm_eps": "small"}, {"id2label": {"0": "a", "1": "a"}},
    ],
    ids=str,
)  # fmt: skip
def test_configs_that_make_no_sense(tmp_path: Path, wrong: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="makes a folder with the live library")
    transformers.ViTForImageClassification(transformers.ViTConfig(**SIZES)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **wrong}))
    with pytest.raises(WeightsError):
        read_image_vit(tmp_path)
