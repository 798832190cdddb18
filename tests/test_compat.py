"""Familiar front doors: what was written for another signature runs, and is the paper's model."""

import re

import numpy as np
import pytest
import torch

from tubelet.compat import ViViTBackbone
from tubelet.errors import ConfigError

EXAMPLE = """
import torch
from tubelet.compat import ViViTBackbone

v = ViViTBackbone(
    t=32,
    h=64,
    w=64,
    patch_t=8,
    patch_h=4,
    patch_w=4,
    num_classes=10,
    dim=512,
    depth=6,
    heads=10,
    mlp_dim=8,
    model=3
)

device = torch.device('cpu')
vid = torch.rand(BATCH, 3, 32, 64, 64).to(device)

pred = v(vid)

parameters = filter(lambda p: p.requires_grad, v.parameters())
parameters = sum([np.prod(p.size()) for p in parameters]) / 1_000_000
print('Trainable Parameters: %.3fM' % parameters)
"""
"""The usage example of that project with the import changed (it leaves NumPy's own import out)."""

SMALL = {"t": 4, "h": 8, "w": 12, "patch_t": 2, "patch_h": 4, "patch_w": 4, "num_classes": 5}
SMALL |= {"dim": 16, "depth": 2, "heads": 6, "mlp_dim": 8, "dim_head": 3}


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"np": np}
    exec(EXAMPLE.replace("BATCH", "1"), names)
    assert names["pred"].shape == (1, 10)  # pyright: ignore[reportAttributeAccessIssue]
    printed = re.search(r"Parameters: ([\d.]+)M", capsys.readouterr().out)
    assert printed is not None
    assert float(printed[1]) == pytest.approx(16.64, abs=0.1)


@pytest.mark.parametrize("model", [3, 4])
def test_it_is_the_model_of_the_paper(model: int) -> None:
    ours = ViViTBackbone(**SMALL, model=model)
    assert ours.vivit.config.attention == {3: "factorised_self_attention", 4: "factorised_dot_product"}[model]
    assert ours.vivit.config.head_dim == 3
    torch.nn.init.normal_(ours.vivit.head.weight)
    clips = torch.rand(2, 3, 4, 8, 12)
    with torch.no_grad():
        logits = ours.eval()(clips)
        assert torch.equal(logits, ours.vivit(clips.transpose(1, 2)))
    assert logits.shape == (2, 5)
    assert not torch.allclose(logits[0], logits[1])


def test_positions_are_learned_and_saved() -> None:
    """Where the other one's are neither."""
    model = ViViTBackbone(**SMALL, model=3)
    torch.nn.init.normal_(model.vivit.head.weight)
    assert "vivit.encoder.positions.table" in model.state_dict()
    model(torch.rand(1, 3, 4, 8, 12)).sum().backward()
    table = dict(model.named_parameters())["vivit.encoder.positions.table"]
    assert table.grad is not None
    assert table.grad.abs().sum() > 0


def test_its_other_arguments() -> None:
    model = ViViTBackbone(**SMALL, channels=1, emb_dropout=0.25, dropout=0.5, device="cpu")
    assert model.vivit.config.attention == "factorised_dot_product"
    assert model.vivit.encoder is not None
    assert model.vivit.encoder.dropout.p == 0.25
    assert model.vivit.encoder.blocks[0]["mlp"].dropout.p == 0.5  # pyright: ignore[reportIndexIssue]
    assert model(torch.rand(1, 1, 4, 8, 12)).shape == (1, 5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": 2}, "tubelet.ViViT"),
        ({"mode": "frames"}, "patch_t=1"),
        ({"emb_dropout": 1.0}, "emb_dropout"),
        ({"heads": 5, "model": 4}, "odd"),
        ({"h": 9}, "whole number of tubelets"),
    ],
)
def test_what_makes_no_sense(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ViViTBackbone(**{**SMALL, **wrong})  # pyright: ignore[reportArgumentType]


def test_clips_of_another_form() -> None:
    with pytest.raises(ValueError, match="batch, channels, frames"):
        ViViTBackbone(**SMALL, model=3)(torch.rand(3, 4, 8, 12))
