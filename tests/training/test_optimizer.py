import torch

from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer
from tubelet.training.optimizer import build_optimizer, decays, lr_scale, set_lr

MODEL = ViViT(
    ViViTConfig(
        attention="factorised_encoder", frames=4, size=16, tubelet=(2, 8, 8), width=8, depth=3, heads=2, hidden=16,
        temporal_depth=1, classes=(3,),
    )
)  # fmt: skip


def test_only_matrices_decay():
    spared = {name for name, p in MODEL.named_parameters() if not decays(name, p)}
    assert "spatial.class_token" in spared
    assert "temporal.positions.table" in spared
    assert "embedding.weight" not in spared
    assert all(name.endswith((".bias", ".norm.weight", "class_token", "positions.table")) for name in spared)


def test_rates_fall_towards_the_pixels():
    settings = Optimizer(lr=1.0, backbone_lr_scale=0.5, layer_decay=0.5)
    scales = {name: lr_scale(name, MODEL, settings) for name, _ in MODEL.named_parameters()}
    assert scales["head.weight"] == scales["temporal.blocks.0.mlp.layer.fc1.weight"] == 1
    assert scales["spatial.norm.weight"] == scales["spatial.blocks.2.mlp.norm.bias"] == 0.5
    assert scales["spatial.blocks.0.mlp.norm.bias"] == 0.125
    assert scales["embedding.weight"] == scales["spatial.positions.table"] == 0.0625


def test_every_parameter_is_in_one_group_and_the_rate_is_shared_out():
    for kind in ("adamw", "sgd"):
        optimizer = build_optimizer(MODEL, Optimizer(kind=kind, backbone_lr_scale=0.1))
        members = [p for group in optimizer.param_groups for p in group["params"]]
        assert len(members) == len({id(p) for p in members}) == len(list(MODEL.parameters()))
        set_lr(optimizer, 2.0)
        assert sorted({group["lr"] for group in optimizer.param_groups}) == [0.2, 2.0]


def test_frozen_parameters_are_left_out():
    MODEL.embedding.requires_grad_(False)
    members = [p for group in build_optimizer(MODEL, Optimizer()).param_groups for p in group["params"]]
    assert not any(p is MODEL.embedding.weight for p in members)
    MODEL.embedding.requires_grad_(True)
    assert isinstance(build_optimizer(MODEL, Optimizer()), torch.optim.AdamW)
