"""`tubelet.start_from`: from files and classifiers to classifiers of other frames, classes and channels."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

import tubelet
from tests.clips import write_motion
from tests.parity.test_scenic import config_of
from tests.test_classifier import film
from tubelet.cli import predict, train
from tubelet.errors import ConfigError
from tubelet.weights.files import read_safetensors
from tubelet.weights.image_names import TIMM
from tubelet.weights.image_vit import join_qkv
from tubelet.weights.rename import write

SMALL = tubelet.ViViTConfig(
    frames=4, size=16, tubelet=(2, 8, 8), width=8, depth=2, heads=2, hidden=12, classes=(3,)
)


@torch.no_grad()
def classifier(**values: object) -> tubelet.Classifier:
    model = tubelet.ViViT(SMALL)
    for parameter in model.parameters():
        parameter.normal_(0, 0.3)
    view = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)} | values
    view = tubelet.View(frames=4, stride=1, size=16, resize=20, **view)  # pyright: ignore[reportArgumentType]
    return tubelet.Classifier(model, view, tubelet.Labels.single(("a", "b", "c")))


class Stack:
    """Frames of any number of channels, as a program of one's own would give them."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[-2:]
        self.duration_seconds = float(len(pixels))
        self.timestamps = np.arange(len(pixels), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, indices: NDArray[np.int64]) -> Tensor:
        return self.pixels[torch.from_numpy(indices)]


def grey(channels: int) -> Stack:
    picture = torch.randint(
        0, 256, (6, 1, 24, 30), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    return Stack(picture.expand(-1, channels, -1, -1).contiguous())


@pytest.mark.parametrize("values", [{}, {"mean": None, "std": None, "value_range": (-1.0, 1.0)}])
@pytest.mark.parametrize(
    ("channels", "rule"), [(1, "energy"), (1, "grey"), (2, "grey"), (5, "grey"), (16, "grey")]
)
def test_a_grey_video_is_seen_as_before(
    channels: int, rule: str, values: dict[str, object], tmp_path: Path
) -> None:
    """Through both views, from grey levels to logits; and again from the folder it was saved into."""
    old = classifier(**values)
    rules = tubelet.Start(channels=rule, heads="kept")  # pyright: ignore[reportArgumentType]
    new = tubelet.start_from(old, replace(SMALL, channels=channels), rules)
    expected = old.run(old.view.test(grey(3)).pixels)
    found = new.run(new.view.test(grey(channels)).pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert new.view.channels == channels
    again = tubelet.load(new.save(tmp_path / "saved"))
    assert again.view == new.view
    assert torch.equal(again.run(again.view.test(grey(channels)).pixels), found)


def test_more_channels_beside_colours() -> None:
    """`extend`: RGB and depth; with the new channel unread the model is the old one."""
    old = classifier()
    new = tubelet.start_from(old, replace(SMALL, channels=4), tubelet.Start(channels="extend", heads="kept"))
    pixels = torch.randint(0, 256, (6, 4, 24, 30), dtype=torch.uint8)
    expected = old.run(old.view.test(Stack(pixels[:, :3])).pixels)
    torch.testing.assert_close(new.run(new.view.test(Stack(pixels)).pixels), expected)
    with pytest.raises(ConfigError, match="shows 4 channels and these frames have 3"):
        new.view.test(Stack(pixels[:, :3]))
    loss = new.model(torch.randn(2, 4, 4, 16, 16)).square().sum()
    loss.backward()
    kernel = new.model.embedding.weight
    assert kernel.grad is not None
    assert kernel.grad[:, 3].any()  # the new channel learns


def test_a_file_of_colours_for_one_channel_and_for_five(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", 6)
    one = tubelet.start_from(classifier(), replace(SMALL, channels=1))
    assert one.predict(clip).logits.shape == (3,)
    five = tubelet.start_from(classifier(), replace(SMALL, channels=5))
    with pytest.raises(ConfigError, match="a file has three"):
        five.predict(clip)


def test_a_scenic_vivit_of_unsaid_frames(golden: Path) -> None:
    """No tensor says how many frames there are: a classifier of a given config is a source too."""
    folder = golden / "init" / "fsa_from_fsa"
    case = json.loads((folder / "config.json").read_text())
    source = tubelet.load(folder / "source_checkpoint", config_of(case["source"]))
    found = tubelet.start_from(source, config_of(case["target"]), tubelet.Start(positions="tile"))
    assert found.report is not None
    assert found.report.count("tiled") == 1
    assert {row.theirs for row in found.report.rows if row.action == "tiled"} == {
        "Transformer/posembed_input/pos_embedding"
    }


def test_configs_that_fit(shared: Path) -> None:
    file = shared / "data" / "deit-tiny-imagenet1k" / "deit_tiny_patch16_224.safetensors"
    config = tubelet.start_config(file, attention="factorised_encoder", tubelet=4, classes=(7,))
    assert (config.width, config.heads, config.tubelet, config.temporal_depth) == (192, 3, (4, 16, 16), None)
    own = classifier()
    assert tubelet.start_config(own) == own.model.config
    assert tubelet.start_config(own, attention="factorised_self_attention").resolved().pool == "mean"


def test_training_from_a_vivit_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A saved ViViT of other frames, size, classes and channels, by the flag that an image ViT is given by."""
    saved = classifier().save(tmp_path / "saved")
    clips = write_motion(tmp_path / "clips", 2)
    out = tmp_path / "run"
    arguments = ["folder", "--data.root", str(clips), "--out", str(out), "--init", str(saved), "--epochs", "1",
                 "--frames", "2", "--size", "32", "--channels", "1", "--workers", "0"]  # fmt: skip
    assert train.main("tubelet train", arguments) == 0
    assert "Started from" in capsys.readouterr().out
    run = json.loads((out / "run.json").read_text())
    assert (run["model"]["width"], run["model"]["channels"], run["view"]["channels"]) == (8, 1, 1)
    found = tubelet.load(out)
    assert found.model.config.frames == 2
    assert predict.main("tubelet predict", [str(clips), "--model", str(out)]) == 0
    assert "left" in capsys.readouterr().out


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = replace(SMALL, frames=1, tubelet=(1, 8, 8), width=64, heads=1)
    tensors = join_qkv(write(tubelet.ViViT(picture).state_dict(), TIMM, lambda _: 1))
    save_file(tensors, tmp_path / "vit.safetensors")
    config = tubelet.start_config(tmp_path / "vit.safetensors", frames=4)
    reads: list[Path] = []

    def counted(path: Path) -> dict[str, Tensor]:
        reads.append(path)
        return read_safetensors(path)

    monkeypatch.setattr("tubelet.weights.image_vit.read_safetensors", counted)
    loaded = tubelet.load(tmp_path / "vit.safetensors", config)
    assert len(reads) == 1
    assert loaded.view.mean == (0.485, 0.456, 0.406)
