"""Where and in what precision a model computes."""

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig
from tubelet.models.placing import place, precision_of, twin
from tubelet.models.vivit import ViViT

CONFIG = ViViTConfig(
    frames=2, size=8, tubelet=(2, 4, 4), width=12, depth=1, heads=2, hidden=16, classes=(3,),
    positions="sinusoidal_1d",
)  # fmt: skip


def test_a_twin_has_the_weights_and_its_own_settings() -> None:
    model = ViViT(CONFIG).eval()
    other = twin(model)
    assert other.head.weight.data_ptr() == model.head.weight.data_ptr()
    assert {b.data_ptr() for b in other.buffers()} == {b.data_ptr() for b in model.buffers()}
    place(other, None, torch.bfloat16)
    assert (precision_of(model), precision_of(other)) == (torch.float32, torch.bfloat16)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_int8_stays_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ViViT(CONFIG).eval()
    place(model, torch.device("cpu"), torch.int8)
    place(model, torch.device("cpu"), None)
    place(model, None, torch.int8)
    assert precision_of(model) == torch.int8
    assert precision_of(twin(model)) == torch.int8
    for device, dtype in ((None, torch.float32), (torch.device("cuda"), None)):
        with pytest.raises(ConfigError, match="load it again"):
            place(model, device, dtype)
    with pytest.raises(ConfigError, match="int8 is for CPUs"):
        place(ViViT.hollow(CONFIG), None, torch.int8)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="oneDNN"):
        place(ViViT(CONFIG), None, torch.int8)
