"""Models to and from a Hub on the loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

import tubelet
from tests import fake_hub
from tubelet import Classifier, ConfigError, Labels, View, ViViT, ViViTConfig, WeightsError
from tubelet.cli import convert
from tubelet.hub import fetch, is_repo_id, push
from tubelet.weights.to_huggingface import write_huggingface

# The Hub's own client sends a file in a way that its HTTP library frowns upon.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fake_hub.Hub]:
    """Where `HF_ENDPOINT` and a cache of its own would lead; the package has read these when it was imported."""
    with fake_hub.running() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        yield hub


def build() -> Classifier:
    config = ViViTConfig(
        frames=4, size=8, tubelet=(2, 4, 4), width=16, depth=1, heads=2, hidden=24, classes=(3,)
    )
    model = ViViT(config)
    torch.nn.init.normal_(model.head.weight)
    return Classifier(
        model, View.scenic(frames=4, size=8, resize=10), Labels.single(("sit", "stand", "walk"))
    )


def test_there_and_back(hub: fake_hub.Hub) -> None:
    classifier = build()
    address = classifier.push_to_hub("someone/small-vivit", extra={"measured": {"top1": 0.75}})
    assert address == f"{hub.address}/someone/small-vivit"
    files = hub.models["someone/small-vivit"]
    assert set(files) == {".gitattributes", "config.json", "model.safetensors", "README.md"}
    card = files["README.md"].decode()
    assert 'tubelet.load("someone/small-vivit")' in card
    assert "top1: 0.75" in card
    hub.models["someone/small-vivit"] |= {
        "tf_model.h5": b"large",
        "training_args.bin": b"pickle",
        "x.py": b"1/0",
    }
    folder = fetch("someone/small-vivit")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = tubelet.load("someone/small-vivit")
    clip = torch.rand(1, 4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded.model(clip), classifier.model(clip))
    assert (loaded.view, loaded.labels) == (classifier.view, classifier.labels)


def test_pickled_weights_only_where_there_are_no_others(hub: fake_hub.Hub) -> None:
    hub.models["a/both"] = {"config.json": b"{}", "model.safetensors": b"1", "pytorch_model.bin": b"2"}
    hub.models["a/pickled"] = {"config.json": b"{}", "pytorch_model.bin": b"2"}
    assert sorted(p.name for p in fetch("a/both").iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(p.name for p in fetch("a/pickled").iterdir()) == ["config.json", "pytorch_model.bin"]


def test_the_card_that_somebody_wrote_stays(hub: fake_hub.Hub, tmp_path: Path) -> None:
    classifier = build()
    folder = classifier.save(tmp_path / "model")
    push(folder, "me/model")
    hub.models["me/model"]["README.md"] = b"My own words."
    classifier.push_to_hub("me/model")
    assert hub.models["me/model"]["README.md"] == b"My own words."
    (folder / "README.md").write_text("Better words.")
    push(folder, "me/model")
    assert hub.models["me/model"]["README.md"] == b"Better words.", (
        "what is written here is meant to go there"
    )


def test_what_is_not_there(hub: fake_hub.Hub, tmp_path: Path) -> None:
    hub.models["a/empty"] = {"config.json": b"{}"}
    with pytest.raises(WeightsError, match="no model a/nothing, or it is private"):
        fetch("a/nothing")
    with pytest.raises(WeightsError, match="no model a/empty at revision v9"):
        fetch("a/empty", "v9")
    with pytest.raises(WeightsError, match="no weights that are known"):
        fetch("a/empty")
    with pytest.raises(WeightsError, match="owner/name"):
        fetch("../../etc/passwd")
    with pytest.raises(WeightsError, match=r"no config\.json and no model\.safetensors"):
        push(tmp_path, "a/b")


def test_without_a_network(hub: fake_hub.Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    classifier = build()
    classifier.push_to_hub("someone/model")
    before = fetch("someone/model")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert fetch("someone/model") == before, "what was fetched before is still there"
    with pytest.raises(WeightsError, match="cannot be fetched from the Hub, and is not in its cache"):
        fetch("someone/else")
    with pytest.raises(WeightsError, match="cannot be published"):
        classifier.push_to_hub("someone/model")


def test_the_endpoint_of_the_environment_counts(hub: fake_hub.Hub, tmp_path: Path) -> None:
    """In a process of its own, because the Hub's client reads `HF_ENDPOINT` when it is imported."""
    build().push_to_hub("someone/model")
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
    arguments = ["convert", "someone/model", str(tmp_path / "ours")]
    done = subprocess.run(
        [sys.executable, "-m", "tubelet.cli", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Written: " in done.stdout
    assert list((tmp_path / "home").rglob("model.safetensors")), "in the cache of the environment"


def test_hub_ids() -> None:
    assert is_repo_id("google/vivit-b-16x2-kinetics400")
    for text in ("runs", "runs/", "/runs/mine", "a/b/c", "./a/b", "a/../b", "../a", "a b/c", "a/b--c"):
        assert not is_repo_id(text)


def test_a_folder_of_hugging_face(hub: fake_hub.Hub, tmp_path: Path) -> None:
    classifier = build()
    view = View.huggingface({"do_normalize": False, "size": {"shortest_edge": 10}, "crop_size": 8}, frames=4)
    write_huggingface(classifier.model, view, classifier.labels, tmp_path / "theirs")
    files = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}
    hub.models["google/small-vivit"] = files | {
        "flax_model.msgpack": b"large",
        "pytorch_model.bin": b"pickle",
    }
    for revision in (None, "main"):
        loaded = tubelet.load("google/small-vivit", revision=revision)
        clip = torch.rand(1, 4, 3, 8, 8)
        with torch.no_grad():
            assert torch.equal(loaded.model(clip), classifier.model(clip))
        assert (loaded.view, loaded.labels) == (view, classifier.labels)
    assert not [line for line in hub.requests if "msgpack" in line or "pytorch_model" in line]
    arguments = ["google/small-vivit", str(tmp_path / "ours"), "--revision", "main"]
    assert convert.main("tubelet convert", arguments) == 0
    assert tubelet.load(tmp_path / "ours").labels == classifier.labels
    for here in ("camera-motion", tmp_path / "ours"):
        with pytest.raises(ConfigError, match="belongs to ids of the Hub"):
            tubelet.load(here, revision="main")
