"""The model card that goes with a saved model: what it says, and whose words it keeps."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tubelet
from tubelet import Classifier, Head, Labels, View, ViViT, ViViTConfig, lora
from tubelet.card import is_ours
from tubelet.weights.report import LoadReport, Row


def build(labels: Labels | None = None, report: LoadReport | None = None, **fields: Any) -> Classifier:
    labels = labels or Labels.single(("sit", "stand", "walk"))
    config = ViViTConfig(
        frames=4,
        size=8,
        tubelet=(2, 4, 4),
        width=16,
        depth=1,
        heads=2,
        hidden=24,
        classes=labels.classes,
        **fields,
    )
    return Classifier(ViViT(config), View.scenic(frames=4, size=8, resize=10), labels, report)


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text()


def test_what_it_says(tmp_path: Path) -> None:
    rows = (Row("taken", "a", "b", (1,)),)
    report = LoadReport(
        "/home/me/secret/checkpoint", "Scenic ViViT", rows, {"pool": "mean; max needs the same"}
    )
    extra = {"data": "Diving48", "measured": {"val": {"top1": 0.51234}}}
    card = card_of(build(report=report).save(tmp_path / "stand-up", extra))
    front = yaml.safe_load(card.split("---\n")[1])
    assert front == {
        "library_name": "tubelet",
        "pipeline_tag": "video-classification",
        "tags": ["vivit", "video"],
    }
    assert "# license: to be filled in" in card.split("---\n")[1], "no licence is made up"
    for words in (
        "# stand-up\n",
        "Model 1, joint attention",
        "over 4 frames of 8x8 pixels in tubelets of 2x4x4",
        'tubelet.load("stand-up")',
        "tubelet predict video.mp4 --model stand-up",
        "4 frames, 2 frames apart, 8x8 pixels, values from -1 to 1, 4x3 views",
        "**label**, 3 classes, one of them holds: sit, stand, walk",
        "- data: Diving48",
        "    - top1: 0.5123",
        "Converted from `checkpoint` (Scenic ViViT), 1 tensors",
        "- pool: mean; max needs the same",
        "## Licence\n\nNot said yet.",
    ):
        assert words in card, words
    assert "secret" not in card, "a card tells nobody's folders"


def test_what_nobody_knows_is_said_to_be_missing(tmp_path: Path) -> None:
    card = card_of(build().save(tmp_path / "model"))
    assert "Nothing was recorded. Say here which data" in card
    assert "Where the weights come from" not in card


def test_heads_and_long_lists(tmp_path: Path) -> None:
    many = Labels((Head("noun", tuple(f"n{i}" for i in range(70))), Head("scene", ("in", "out"), "multi")))
    card = card_of(build(many).save(tmp_path / "model"))
    assert "n59 and 10 more, which are in `config.json`" in card
    assert "**scene**, 2 classes, any number of them may hold: in, out" in card


def test_its_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build().save(tmp_path / "model")
    (block,) = re.findall(r"```python\n(.*?)```", card_of(tmp_path / "model"), re.DOTALL)
    video = Path(tubelet.__file__).parents[2] / "examples" / "clips" / "pan_left.mp4"
    monkeypatch.chdir(tmp_path)
    exec(block.replace("video.mp4", str(video)), {})
    assert "sit" in capsys.readouterr().out


def test_words_of_ones_own_are_kept(tmp_path: Path) -> None:
    """A card as it was written is written anew; one that somebody changed, or made, is left alone."""
    classifier, folder = build(), tmp_path / "model"
    classifier.write(folder, {"trained": {"epoch": 1}})
    assert is_ours(card_of(folder))
    classifier.write(folder, {"trained": {"epoch": 2}})
    assert "epoch: 2" in card_of(folder)
    changed = card_of(folder).replace("Not said yet.", "CC BY 4.0.")
    (folder / "README.md").write_text(changed)
    classifier.write(folder, {"trained": {"epoch": 3}})
    assert card_of(folder) == changed
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "README.md").write_text("Mine.")
    assert card_of(classifier.save(tmp_path / "new")) == "Mine."


def test_adapters_are_not_counted(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    classifier = build()
    plain = re.search(r"[\d,]+ parameters", card_of(classifier.save(tmp_path / "a")))
    lora.add(classifier.model)
    with_adapters = re.search(r"[\d,]+ parameters", card_of(classifier.save(tmp_path / "b")))
    assert plain is not None
    assert with_adapters is not None
    assert plain[0] == with_adapters[0]
    count = sum(tensor.numel() for tensor in tubelet.load(tmp_path / "b").model.state_dict().values())
    assert plain[0] == f"{count:,} parameters"
    assert torch.isfinite(classifier.model.head.bias).all()
