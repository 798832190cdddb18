"""`tubelet convert`: files that do not say their architecture, and what is refused in one sentence."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.weights.test_scenic import build, new, save
from tubelet import cli, load
from tubelet.models.vivit import ViViT


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tubelet", "convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[ViViT, Path]:
    """Model 4, whose tensors look like those of Model 1 without a class token, with its training's state."""
    model = build(attention="factorised_dot_product", frames=4)
    return model, save(model, tmp_path / "checkpoint", new)


def test_a_config_of_ones_own(
    tmp_path: Path,
    checkpoint: tuple[ViViT, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, file = checkpoint
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    assert run(monkeypatch, file, tmp_path / "out", "--config", tmp_path / "config.json") == 0
    again = load(tmp_path / "out")
    assert again.model.config == model.config
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in again.model.state_dict().items())
    count = len(model.state_dict())
    printed = capsys.readouterr().out
    assert f"{count} taken, {count} left out" in printed
    assert f"left out: {count} tensors (state of its training)" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("checkpoint new --config vivit_b", "no name in Scenic's model zoo: vivit_b_16x2_k400, "),
        ("checkpoint new --config vivit_b_16x2_k400", "does not fit the model"),
        ("camera-motion text/new", "NotADirectoryError"),
        ("model.safetensors new", "give the folder that it lies in"),
        ("empty.npz new", "it is empty."),
        ("text new", "Other formats are known by their endings"),
    ],
)
def test_what_is_refused_is_said(
    tmp_path: Path,
    checkpoint: tuple[ViViT, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("text")
    Path("empty.npz").touch()
    save_file({"embedding.weight": torch.ones(4, 3, 2, 4, 4)}, "model.safetensors")
    assert run(monkeypatch, *arguments.split()) == 2
    assert words in capsys.readouterr().err
    assert not Path("new").exists()
