"""Inference a part at a time gives what it gives at once."""

import pytest
import torch

from tubelet.layers import parts
from tubelet.models.config import AttentionKind, ViViTConfig
from tubelet.models.recording import record
from tubelet.models.vivit import ViViT

KINDS: list[AttentionKind] = [
    "joint",
    "factorised_encoder",
    "factorised_self_attention",
    "factorised_dot_product",
]


@pytest.mark.parametrize("kind", KINDS)
def test_in_parts_is_the_same(kind: AttentionKind, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ViViTConfig(
        attention=kind,
        frames=4,
        size=32,
        tubelet=(2, 8, 8),
        width=48,
        depth=2,
        heads=4,
        hidden=96,
        classes=(5,),
    )
    model = ViViT(config, torch.Generator().manual_seed(0)).eval()
    torch.nn.init.normal_(model.head.weight)
    video = torch.randn(5, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    calls: list[int] = []
    fc1 = next(m for n, m in model.named_modules() if n.endswith("fc1"))
    fc1.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].numel()))
    whole = record(model, video, attentions=True)  # it has gradients, so at once
    assert len(calls) == 1
    monkeypatch.setattr(parts, "PART_BYTES", 20_000)
    with torch.no_grad():
        in_parts = record(model, video, attentions=True)
    assert len(calls) > 3
    assert sum(calls[1:]) == calls[0]
    torch.testing.assert_close(in_parts.logits, whole.logits, rtol=1e-5, atol=1e-5)
    assert len(in_parts.hidden_states) == len(whole.hidden_states)
    for one, other in zip(in_parts.attentions, whole.attentions, strict=True):
        torch.testing.assert_close(one, other)


def test_an_empty_batch_passes() -> None:
    model = ViViT(ViViTConfig(frames=2, size=16, width=12, depth=1, heads=2, hidden=24)).eval()
    with torch.no_grad():
        assert model(torch.zeros(0, 2, 3, 16, 16)).shape == (0, 400)
