"""Load, save, predict: the whole way from a file to an answer, on small models and clips made here."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tests.parity.test_scenic import config_of
from tubelet import Classifier, Failure, Head, Labels, Prediction, View, ViViT, ViViTConfig
from tubelet.errors import ConfigError, DecodeError, WeightsError
from tubelet.prediction import Look

CONFIG = ViViTConfig(
    frames=4, size=16, tubelet=(2, 8, 8), width=24, depth=1, heads=2, hidden=32, classes=(3, 2)
)
LABELS = Labels((Head("colour", ("red", "green", "blue")), Head("moves", ("no", "yes"))))
VIEW = View(frames=4, stride=1, size=16, resize=20, value_range=(-1.0, 1.0))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mp4", 12)


def film(path: Path, frames: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 4 * i, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make(view: View = VIEW, config: ViViTConfig = CONFIG) -> Classifier:
    model = ViViT(config)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return Classifier(model, view, LABELS)


def test_prediction(clip: Path) -> None:
    classifier = make()
    found = classifier.predict(clip)
    assert found.logits.shape == (5,)
    assert found.indices.tolist() == [[4, 5, 6, 7]]
    assert found.probabilities("moves").sum() == pytest.approx(1)
    best = found.top(2, "colour")
    assert [name for name, _ in best] == [
        ("red", "green", "blue")[i] for i in found.logits[:3].topk(2).indices
    ]
    assert found.top(9, 1)[0][1] >= found.top(9, 1)[1][1]
    assert json.loads(json.dumps(found.to_dict()))["heads"]["moves"][0]["label"] in ("no", "yes")
    with tubelet.Video(clip) as video:
        pixels = VIEW.test(video, "1x1").pixels
    torch.testing.assert_close(classifier.model(pixels)[0].detach(), found.logits)
    assert classifier.features(clip).shape == (24,)


def test_views_are_averaged(clip: Path) -> None:
    classifier = make()
    with tubelet.Video(clip) as video:
        pixels = VIEW.test(video, "4x3").pixels
        assert classifier.predict(video, views="4x3").indices.shape == (4, 4)
    assert pixels.shape[0] == 12
    expected = classifier.model(pixels).mean(0).detach()
    torch.testing.assert_close(classifier.predict(clip, views="4x3").logits, expected, rtol=1e-4, atol=1e-5)
    one_by_one = next(iter(classifier.predict_many([clip], "4x3", batch_size=5)))
    assert isinstance(one_by_one, Prediction)
    torch.testing.assert_close(one_by_one.logits, expected, rtol=1e-4, atol=1e-5)


def test_views_that_cannot_be_are_refused_before_any_video_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4x2"):
        list(make().predict_many([tmp_path / "missing.mp4"], "4x2"))
    by_window = View(frames=4, stride=1, size=16, value_range=(0.0, 1.0), answers="window")
    with pytest.raises(ConfigError, match="each window"):
        make(by_window).predict(tmp_path / "missing.mp4", views="4x3")


def test_bytes_and_precision(clip: Path) -> None:
    classifier = make()
    expected = classifier.predict(clip).logits
    assert torch.equal(classifier.predict(clip.read_bytes()).logits, expected)
    half = classifier.to(dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert (half.predict(clip).logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_windows(tmp_path: Path) -> None:
    file = film(tmp_path / "long.mp4", 23)
    classifier = make(
        View(frames=4, frames_per_second=10, size=16, fit="squash", value_range=(0.0, 1.0), answers="window")
    )
    found = classifier.predict(file)
    starts = [w.start_seconds for w in found.windows]
    assert starts[:5] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert found.windows[-1].end_seconds == pytest.approx(2.3)
    torch.testing.assert_close(found.logits, torch.stack([w.logits for w in found.windows]).mean(0))
    assert found.to_dict()["windows"][1]["start_seconds"] == pytest.approx(0.4)
    with tubelet.Video(file, start_seconds=0.4, end_seconds=0.8) as part:
        torch.testing.assert_close(classifier.predict(part).logits, found.windows[1].logits)


def test_one_bad_file_stops_no_other(tmp_path: Path, clip: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    other = film(tmp_path / "other.mp4", 8, seed=1)
    outcomes = list(make().predict_many([clip, text, tmp_path / "missing.mp4", other]))
    assert [type(o) for o in outcomes] == [Prediction, Failure, Failure, Prediction]
    assert [o.video for o in outcomes] == [str(p) for p in (clip, text, tmp_path / "missing.mp4", other)]
    failure = outcomes[1]
    assert isinstance(failure, Failure)
    assert "text.mp4" in str(failure.error)
    with pytest.raises(DecodeError, match=r"text\.mp4"):
        make().predict(text)


def test_videos_share_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [film(tmp_path / f"{i}.mp4", 6, seed=i) for i in range(5)]
    classifier = make()
    alone = [classifier.predict(file).logits for file in files]
    batches: list[int] = []
    forward = classifier.model.forward
    monkeypatch.setattr(classifier.model, "forward", lambda x: batches.append(len(x)) or forward(x))
    mixed = [files[0], tmp_path / "missing.mp4", *files[1:]]
    outcomes = list(classifier.predict_many(mixed, batch_size=4))
    assert batches == [4, 1]
    assert isinstance(outcomes.pop(1), Failure)
    for outcome, expected in zip(outcomes, alone, strict=True):
        assert isinstance(outcome, Prediction)
        torch.testing.assert_close(outcome.logits, expected, rtol=1e-4, atol=1e-5)


def test_save_and_load(tmp_path: Path, clip: Path) -> None:
    classifier = make()
    folder = classifier.save(tmp_path / "model", {"about": {"clips": 12}})
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    modes = {p.stat().st_mode for p in folder.iterdir()}
    assert len(modes) == 1  # whoever may read the settings may read the weights
    again = tubelet.load(folder)
    assert (again.view, again.labels, again.model.config) == (VIEW, LABELS, classifier.model.config)
    assert torch.equal(again.predict(clip).logits, classifier.predict(clip).logits)
    assert again.report is not None
    assert again.report.count("taken") == len(classifier.model.state_dict())
    assert json.loads((folder / "config.json").read_text())["extra"] == {"about": {"clips": 12}}
    with pytest.raises(WeightsError, match="save into another folder"):
        classifier.save(folder)


def test_what_is_known_of_a_model_goes_with_it(tmp_path: Path) -> None:
    known = {"measured": {"val": {"top1": 0.5}}}
    make().save(tmp_path / "first", known)
    again = tubelet.load(tmp_path / "first")
    assert again.extra == known
    names = tubelet.load(tmp_path / "first", labels=LABELS)
    for number, loaded in enumerate((again, names)):
        folder = loaded.save(tmp_path / f"again {number}")
        assert tubelet.load(folder).extra == known
        assert "top1: 0.5" in (folder / "README.md").read_text()
    assert tubelet.load(again.save(tmp_path / "new", {})).extra == {}


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = make().save(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    broken = {**tensors, "extra": torch.ones(2)}
    del broken["head.bias"]
    broken["head.weight"] = torch.ones(5, 7)
    save_file(broken, folder / "model.safetensors")
    with pytest.raises(WeightsError) as error:
        tubelet.load(folder)
    assert all(
        part in str(error.value) for part in ("missing: head.bias", "left over: extra", "shape: head.weight")
    )
    config = json.loads((folder / "config.json").read_text())
    for changed in (
        {"version": 99},
        {"format": "other"},
        {"model": {}},
        {"model": {**config["model"], "what": 1}},
        {"view": {"size": 3}},
        {"labels": [{}]},
    ):
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises((WeightsError, ConfigError)):
            tubelet.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="JSON"):
        tubelet.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(WeightsError, match="no file or folder"):
        tubelet.load(folder)
    with pytest.raises(WeightsError, match=r"no config\.json"):
        tubelet.load(tmp_path)


def test_parts_that_do_not_belong_together() -> None:
    with pytest.raises(WeightsError, match="do not fit"):
        Classifier(ViViT(replace(CONFIG, classes=(3,))), VIEW, LABELS)
    with pytest.raises(ConfigError, match="channels"):
        Classifier(ViViT(replace(CONFIG, channels=1)), VIEW, LABELS)
    with pytest.raises(ConfigError, match="multiple of 2 frames"):
        Classifier(ViViT(CONFIG), replace(VIEW, frames=5), LABELS)


def golden_case(golden: Path, name: str) -> tuple[Path, dict[str, Any]]:
    folder = golden / "forward" / name
    return folder / "checkpoint", json.loads((folder / "config.json").read_text())


def test_scenic_with_a_config(golden: Path) -> None:
    file, case = golden_case(golden, "multihead_fe_token_a")
    classifier = tubelet.load(file, replace(config_of(case), classes=(11, 6)))
    assert classifier.labels.classes == (11, 6)
    assert classifier.view.value_range == (-1.0, 1.0)
    assert classifier.view.stride == 2
    assert classifier.report is not None
    assert set(classifier.report.assumed) == {"view", "labels"}
    assert classifier.report.to_dict()["format"] == "Scenic ViViT"


def test_scenic_without_a_config_says_what_it_assumed(tmp_path: Path) -> None:
    """A model of 32 frames of 32x32, written as the released files are, read back by its tensors alone."""
    for config, expected in (
        (
            ViViTConfig(
                frames=32, size=32, tubelet=(2, 8, 8), width=24, depth=1, heads=2, hidden=8, pool="mean"
            ),
            {"attention", "pool", "classes", "frames", "size", "view", "labels"},
        ),
        (
            ViViTConfig(
                frames=10,
                size=32,
                tubelet=(2, 8, 8),
                width=24,
                depth=1,
                heads=2,
                hidden=8,
                attention="factorised_encoder",
                temporal_depth=3,
                temporal_heads=4,
                temporal_hidden=12,
            ),
            {"classes", "size", "view", "labels"},
        ),
        (
            ViViTConfig(
                frames=32,
                size=32,
                tubelet=(2, 8, 8),
                width=24,
                depth=2,
                heads=2,
                hidden=8,
                attention="factorised_self_attention",
            ),
            {"order", "pool", "classes", "frames", "size", "view", "labels"},
        ),
    ):
        model = ViViT(config)
        file = tmp_path / f"checkpoint-{config.attention}"
        write_scenic(model, file)
        found = tubelet.load(file)
        assert found.model.config == replace(model.config, size=(32, 32))
        assert found.report is not None
        assert set(found.report.assumed) == expected
        assert "assumed" in str(found.report)
        video = torch.randn(1, config.frames, 3, 32, 32)
        assert torch.equal(found.model(video), model.eval()(video))


def write_scenic(model: ViViT, file: Path) -> None:
    import msgpack

    from tubelet.weights import scenic
    from tubelet.weights.rename import write

    config = model.config
    table = scenic.table(False, config.attention == "factorised_self_attention")
    temporal = config.temporal_heads or config.heads
    flat = write(model.state_dict(), table, lambda n: temporal if n.startswith("temporal") else config.heads)
    tree: dict[str, Any] = {}
    for name, tensor in flat.items():
        *parents, leaf = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        array = tensor.numpy()
        place[leaf] = msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))
    file.write_bytes(msgpack.packb({"optimizer": {"target": tree}}))


def test_no_square_grid_needs_a_config(golden: Path) -> None:
    file, _ = golden_case(golden, "spacetime_token_a")
    with pytest.raises(WeightsError, match="give a config"):
        tubelet.load(file)


def test_a_wrong_config_is_one_error(golden: Path) -> None:
    file, case = golden_case(golden, "spacetime_token_a")
    with pytest.raises(WeightsError) as error:
        tubelet.load(file, replace(config_of(case), depth=2, hidden=60))
    assert "left over: encoder.blocks.2" in str(error.value)
    assert "shape: encoder.blocks.0.mlp.layer.fc1.weight" in str(error.value)


def test_an_image_vit_brings_its_mean_and_needs_a_config(shared: Path) -> None:
    file = shared / "data" / "deit-tiny-imagenet1k" / "deit_tiny_patch16_224.safetensors"
    with pytest.raises(WeightsError, match="give the config"):
        tubelet.load(file)
    classifier = tubelet.load(file, tubelet.start_config(file, frames=4, size=64, classes=(5,)))
    assert classifier.view.mean == (0.485, 0.456, 0.406)
    assert classifier.view.size == 64
    assert classifier.report is not None
    assert classifier.report.count("resized") == 1


def test_an_image_checkpoint_of_scenic(golden: Path) -> None:
    folder = golden / "init" / "spacetime_central_tile"
    case = json.loads((folder / "config.json").read_text())
    with pytest.raises(WeightsError, match="image ViT"):
        tubelet.load(folder / "source_checkpoint")
    classifier = tubelet.load(folder / "source_checkpoint", config_of(case["target"]))
    assert classifier.report is not None
    assert classifier.report.count("inflated") == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hugging_face_folder(tmp_path: Path, clip: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="makes a folder with the live library")
    settings = {"image_size": 32, "num_frames": 4, "tubelet_size": [2, 8, 8], "hidden_size": 24}
    config = transformers.VivitConfig(
        **settings,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        id2label={0: "run", 1: "sit"},
    )
    transformers.VivitForVideoClassification(config).save_pretrained(tmp_path / "hf")
    processor = {
        "do_normalize": False,
        "size": {"shortest_edge": 36},
        "crop_size": {"height": 32, "width": 32},
    }
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(processor))
    classifier = tubelet.load(tmp_path / "hf")
    assert classifier.labels == Labels.single(("run", "sit"))
    assert classifier.view.size in (32, (32, 32))
    assert classifier.report is not None
    assert set(classifier.report.assumed) == {"stride"}
    assert classifier.predict(clip).logits.shape == (2,)
    (tmp_path / "hf" / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match=r"\[-3, 1\]"):
        assert tubelet.load(tmp_path / "hf").view.size in (224, (224, 224))


def test_clips_before_and_after_the_value_step(clip: Path) -> None:
    classifier = make()
    look = classifier.look(clip, "2x1")
    assert isinstance(look, Look)
    assert look.pixels.dtype == torch.uint8
    values = classifier.view.normalise(look.pixels)
    assert torch.equal(classifier.run(look.pixels, 1), classifier.run(values, 1))
    assert not torch.allclose(classifier.run(values), classifier.run(look.pixels.float()))


def test_fewer_tokens_are_another_classifier(clip: Path, tmp_path: Path) -> None:
    classifier = make(config=replace(CONFIG, depth=2))
    exact = classifier.predict(clip).logits
    fewer = classifier.with_fewer_tokens(merge=0.5)
    assert not torch.allclose(fewer.predict(clip).logits, exact, atol=1e-3)
    assert torch.equal(classifier.predict(clip).logits, exact)
    fewer.save(tmp_path / "model")
    assert torch.equal(tubelet.load(tmp_path / "model").predict(clip).logits, exact)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_int8(clip: Path, tmp_path: Path) -> None:
    classifier = make()
    exact = classifier.predict(clip).logits
    classifier.to(dtype=torch.int8)
    assert classifier.dtype == torch.int8
    found = classifier.predict(clip).logits
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0.1)
    with pytest.raises(WeightsError, match="int8"):
        classifier.save(tmp_path / "model")
