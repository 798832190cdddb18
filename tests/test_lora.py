"""LoRA: begins as the model it is added to, learns by its adapters and the head alone, is saved as a plain model."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet import Classifier, ConfigError, Labels, View, ViViT, ViViTConfig, lora

pytest.importorskip("peft")

ATTENTION = ["joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]


def build(attention: Any = "joint", **fields: Any) -> ViViT:
    config = ViViTConfig(
        attention=attention, frames=4, size=8, tubelet=(2, 4, 4), width=16, depth=2, heads=2, hidden=24,
        classes=(3,), temporal_depth=1 if attention == "factorised_encoder" else None, **fields,
    )  # fmt: skip
    model = ViViT(config)
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


def learn(model: ViViT, clips: torch.Tensor) -> None:
    """A few steps, large ones."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(clips)[:, 0].sum().backward()
        optimizer.step()


@pytest.mark.parametrize("attention", ATTENTION)
def test_from_add_to_merge(attention: str) -> None:
    clips, model = torch.rand(2, 4, 3, 8, 8), build(attention)
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        before = model(clips)
        assert lora.add(model, rank=2, targets=lora.TARGETS) is model
        assert torch.equal(model(clips), before), "begins as it was, to the bit"
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    adapters = {name for name in learning if ".lora_" in name}
    assert learning - adapters == {"head.weight", "head.bias"}
    layers = [m for n, m in model.named_modules() if n.rpartition(".")[2] in lora.TARGETS]
    assert len(adapters) == 2 * len(layers), "an A and a B for every layer, temporal ones included"

    learn(model, clips)
    for name, tensor in model.state_dict().items():
        ours = name.replace(".base_layer.", ".")
        if ours in plain and not ours.startswith("head."):
            assert torch.equal(tensor, plain[ours]), f"{ours} is frozen"
    with torch.no_grad():
        after, state = model(clips), lora.merged_state(model)
        assert not torch.allclose(after, before, atol=1e-3), "the adapters have learned"
        assert torch.equal(model(clips), after), "merged_state leaves the model as it is"
        lora.merge(model)
        assert torch.allclose(model(clips), after, rtol=0, atol=1e-5)
    assert list(model.state_dict()) == list(plain) == list(state)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    assert not lora.has_adapters(model)


def test_saved_merged_and_loaded_without_peft(tmp_path: Path) -> None:
    """All four models, in one process that has no peft."""
    clips, expected = torch.rand(2, 4, 3, 8, 8), {}
    for attention in ATTENTION:
        model = lora.add(build(attention), rank=2)
        classifier = Classifier(model, View.scenic(frames=4, size=8, resize=10), Labels.numbered((3,)))
        learn(model, clips)
        folder = classifier.save(tmp_path / attention)
        with torch.no_grad():
            expected[str(folder)] = model.eval()(clips)
        assert lora.has_adapters(model), "the live model goes on learning"
    torch.save((clips, expected), tmp_path / "expected.pt")
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "import torch, tubelet\n"
        "clips, expected = torch.load(sys.argv[1])\n"
        "for folder, logits in expected.items():\n"
        "    with torch.no_grad():\n"
        "        found = tubelet.load(folder).model(clips)\n"
        "    assert torch.allclose(found, logits, rtol=0, atol=1e-5), folder\n"
    )  # fmt: skip
    arguments = [sys.executable, "-c", code, str(tmp_path / "expected.pt")]
    assert subprocess.run(arguments, check=False).returncode == 0


def test_only_the_named_layers() -> None:
    model = lora.add(build("factorised_self_attention"), targets=("value",))
    found = {name.rpartition(".")[2] for name, _ in lora.adapted(model)}
    assert found == {"value"}
    assert sum(1 for _ in lora.adapted(model)) == 4, "time and space of both blocks"


def test_a_plain_model_merges_to_itself() -> None:
    model = build()
    assert lora.merge(model) is model
    assert lora.merged_state(model).keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    "wrong", [{"targets": ("head",)}, {"targets": ()}, {"rank": 0}, {"dropout": 1.0}], ids=str
)
def test_what_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        lora.add(build(), **wrong)


def test_twice_is_refused() -> None:
    model = lora.add(build())
    with pytest.raises(ConfigError, match="already"):
        lora.add(model)


def test_without_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'tubelet\[lora\]'"):
        lora.add(build())
