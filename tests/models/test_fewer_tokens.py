"""Models 1 and 2 that answer from fewer tokens."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.models.cost import count_cost
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.models.recording import record
from tubelet.models.vivit import ViViT

JOINT = ViViTConfig(frames=8, size=16, tubelet=(2, 4, 4), width=24, depth=2, heads=2, hidden=32, classes=(5,))
ENCODER = replace(JOINT, attention="factorised_encoder", tubelet=(1, 4, 4), temporal_depth=1)
MODELS = {
    "joint": JOINT,
    "joint, mean": replace(JOINT, pool="mean"),
    "joint, first": replace(JOINT, pool="first"),
    "encoder": ENCODER,
    "encoder, first": replace(ENCODER, pool="first"),
    "encoder, mean, centred": replace(ENCODER, pool="mean", centre_frames=True),
}
every_model = pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())


def make(config: ViViTConfig) -> ViViT:
    model = ViViT(config, torch.Generator().manual_seed(0))
    nn.init.normal_(model.head.weight, std=1, generator=torch.Generator().manual_seed(1))
    return model.eval()


def clips(count: int = 2, frames: int = 8) -> Tensor:
    return torch.rand(count, frames, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1


@every_model
@torch.inference_mode()
def test_none_left_out_is_the_exact_answer(config: ViViTConfig) -> None:
    model, video = make(config), clips()
    exact = model(video)
    model.answer_from(FewerTokens(drop=0))  # nothing repeats in noise
    torch.testing.assert_close(model(video), exact, rtol=1e-4, atol=1e-4)
    model.answer_from(FewerTokens(merge=0.001))  # of 65 tokens or fewer: not one
    torch.testing.assert_close(model(video), exact, rtol=1e-4, atol=1e-4)
    model.answer_from(None)
    assert torch.equal(model(video), exact)


@every_model
@pytest.mark.parametrize("settings", [FewerTokens(merge=0.3), FewerTokens(drop=0.3)], ids=["merge", "drop"])
@torch.inference_mode()
def test_company_changes_nothing(config: ViViTConfig, settings: FewerTokens) -> None:
    """Clips that keep different numbers of tokens, alone and together."""
    model, video = make(config), clips(3)
    video[1] = video[1, :1] + 0.1 * video[1]
    video[2] = 0
    exact = model(video)
    model.answer_from(settings)
    together = model(video)
    assert not torch.allclose(together, exact, atol=1e-2)
    alone = torch.cat([model(one[None]) for one in video])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["encoder", "encoder, mean, centred"])
@torch.inference_mode()
def test_frames_that_repeat_are_lossless_in_the_encoder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, video = make(MODELS[name]), clips(2, 4).repeat_interleave(2, dim=1)
    exact = model(video)
    rows: list[int] = []
    model.get_submodule("spatial.blocks.0.mlp").register_forward_hook(
        lambda module, inputs, output: rows.append(inputs[0].shape[:-1].numel())
    )
    model.answer_from(FewerTokens(drop=0))
    torch.testing.assert_close(model(video), exact, rtol=1e-4, atol=1e-4)
    extra = int(name == "encoder")
    assert rows == [2 * (4 * 16 + 8 * extra)], "half of the tubelets, and a class token for each frame"


@pytest.mark.parametrize("name", ["encoder", "encoder, first", "encoder, mean, centred"])
@torch.inference_mode()
def test_frames_dropped_whole_are_not_computed(name: str) -> None:
    """Repetitions change nothing; a frame nearly like the last has its vector, whatever stands still in others."""
    model, video = make(MODELS[name]), clips(3)
    video[0, 3:5] = video[0, 2]
    video[1, 1:] = video[1, :1] + 0.001
    video[1, 5, :, :4, :4] += 1
    exact = model(video)
    frames: list[int] = []
    model.get_submodule("spatial.blocks.0.mlp").register_forward_hook(
        lambda module, inputs, output: frames.append(inputs[0].shape[0])
    )
    model.answer_from(FewerTokens(drop_frames=0))
    torch.testing.assert_close(model(video), exact, rtol=1e-4, atol=1e-4)
    assert frames == [6 + 4 + 8], "of the second clip frames 0 and 1, the changed one and that after it"
    model.answer_from(FewerTokens(drop_frames=0.01))
    near = model(video)
    assert frames[1:] == [6 + 3 + 8], "of the second clip frame 0, the changed one and that after it"
    video[1, :5] = video[1, :1]
    model.answer_from(None)
    torch.testing.assert_close(near, model(video), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_still_video_leaves_one_tubelet_of_each_place_in_the_joint_model() -> None:
    """With positions that do not tell times apart, sizes make the answer that of all tubelets."""
    model, video = make(MODELS["joint, mean"]), clips(2, 2).repeat(1, 4, 1, 1, 1)
    assert model.encoder is not None
    assert model.encoder.positions is not None
    model.encoder.positions.table.zero_()
    exact = model(video)
    model.answer_from(FewerTokens(drop=0))
    torch.testing.assert_close(model(video), exact, rtol=1e-4, atol=1e-4)
    model.answer_from(FewerTokens(drop=0, merge=0.4))
    assert not torch.allclose(model(video), exact, atol=1e-2)


def test_cost_is_counted() -> None:
    full = count_cost(JOINT)
    half = count_cost(JOINT, FewerTokens(merge=0.5))
    assert 0.4 * full.macs < half.computed_macs < 0.8 * full.macs == 0.8 * half.macs
    assert half.computed_macs < full.computed_macs < full.macs
    assert count_cost(JOINT, FewerTokens(drop=0.1)) == full, "what is dropped depends on the video"


def test_what_cannot_be() -> None:
    for wrong in (
        {"merge": 0.6},
        {"merge": -0.1},
        {"drop": -1.0},
        {"drop": float("nan")},
        {"drop_frames": -1.0},
        {},
    ):
        with pytest.raises(ConfigError):
            FewerTokens(**wrong)
    with pytest.raises(ConfigError, match="Models 1 and 2"):
        make(replace(JOINT, attention="factorised_self_attention", pool="mean")).answer_from(
            FewerTokens(merge=0.1)
        )
    with pytest.raises(ConfigError, match="one of merge, drop and drop_frames"):
        make(ENCODER).answer_from(FewerTokens(merge=0.1, drop=0.1))
    with pytest.raises(ConfigError, match="Model 1 takes drop"):
        make(JOINT).answer_from(FewerTokens(drop_frames=0.1))
    model = make(JOINT)
    model.answer_from(FewerTokens(merge=0.1))
    with pytest.raises(ConfigError, match="fewer tokens"):
        record(model, clips())
    with pytest.raises(ValueError, match="not for training"):
        model.train()(clips())
