from typing import Any

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.training.frozen import Stored, calibrate, common, sine_positions


def model_of(**fields: Any) -> ViViT:
    values: dict[str, Any] = {
        "attention": "factorised_encoder", "frames": 6, "size": 16, "tubelet": (2, 8, 8), "width": 16, "depth": 2,
        "heads": 2, "hidden": 32, "temporal_depth": 2, "classes": (3, 2),
    }  # fmt: skip
    model = ViViT(ViViTConfig(**(values | fields))).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("pool", ["class", "mean", "first"])
def test_calibrated_vectors_are_standard(pool: str):
    model, video = model_of(pool=pool), torch.rand(40, 6, 3, 16, 16)
    before = model.frame_vectors(video)
    mean, std = calibrate(model, before)
    after = model.frame_vectors(video)
    torch.testing.assert_close(after, (before - mean) / std, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.flatten(0, 1).mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(after.flatten(0, 1).std(0), torch.ones(16), atol=1e-2, rtol=0)


def test_calibrated_deviations_are_standard():
    model, video = model_of(centre_frames=True), torch.rand(40, 6, 3, 16, 16)
    calibrate(model, model.frame_vectors(video))
    after = model.frame_vectors(video)
    deviations = (after - after.mean(1, keepdim=True)).flatten(0, 1)
    torch.testing.assert_close(deviations.std(0), torch.ones(16), atol=1e-2, rtol=0)


def test_a_dead_feature_is_not_blown_up():
    model = model_of()
    vectors = torch.randn(50, 3, 16)
    vectors[..., 4] = 7.0
    _, std = calibrate(model, vectors)
    assert float(std[4]) == pytest.approx(0.01 * float(std.mean()), rel=0.1)


@pytest.mark.parametrize("fields", [{"pool": "max"}, {"pool": "sum"}, {"final_norm": False}])
def test_what_cannot_be_calibrated(fields: dict[str, Any]):
    with pytest.raises(ConfigError, match="final norm"):
        calibrate(model_of(**fields), torch.randn(4, 3, 16))


def test_sine_positions_tell_the_order():
    model = model_of()
    sine_positions(model)
    assert model.temporal is not None
    assert model.temporal.positions is not None
    table = model.temporal.positions.table
    assert table.requires_grad
    assert table[0, 0].abs().sum() == 0
    assert float(table[0, 1:].detach().square().mean()) == pytest.approx(0.5)


def test_clips_read_every_time_are_kept_in_order():
    def stored(*indices: int) -> Stored:
        rows = torch.tensor(indices)
        return Stored(
            vectors=rows.float().view(-1, 1, 1), targets=rows.view(-1, 1), indices=indices, errors=()
        )

    first, second = common([stored(3, 0, 2), stored(2, 3, 1)])
    assert first.indices == second.indices == (2, 3)
    assert first.targets.flatten().tolist() == second.vectors.flatten().tolist() == [2, 3]
