"""Model 1 against the live ViViT and VideoMAE of transformers: outputs 1e-5, gradients 1e-4."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.cli import convert
from tubelet.errors import WeightsError
from tubelet.labels import Head, Labels
from tubelet.loading import load
from tubelet.weights.huggingface import read_classifier

transformers = pytest.importorskip("transformers", reason="the live comparison needs transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {
    "image_size": 32,
    "num_frames": 4,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
VIVIT = SIZES | {"tubelet_size": [2, 8, 8], "num_labels": 7}
VIDEOMAE = SIZES | {"tubelet_size": 2, "patch_size": 8, "num_labels": 7}
DECODER = {
    "decoder_hidden_size": 16,
    "decoder_intermediate_size": 16,
    "decoder_num_attention_heads": 2,
    "decoder_num_hidden_layers": 1,
}


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval()


def make(folder: Path, kind: str = "VivitForVideoClassification", save: Any = None, **options: Any) -> Any:
    vivit = kind.startswith("Vivit")
    config = transformers.VivitConfig if vivit else transformers.VideoMAEConfig
    settings = VIVIT if vivit else VIDEOMAE | DECODER
    model = randomise(getattr(transformers, kind)(config(**settings | options)))
    model.save_pretrained(folder, **save or {})
    return model


def near(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-5 * max(float(theirs.abs().max()), 1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
        {"qkv_bias": False, "num_channels": 1},
        {"image_size": [32, 16]},
    ],
)
def test_forward_and_gradients(tmp_path: Path, options: dict[str, Any]) -> None:
    theirs = make(tmp_path, **options)
    ours, _, labels, report = read_classifier(tmp_path)
    assert labels == Labels.numbered([7])
    assert report.count("taken") == len(ours.state_dict()) == len(report.rows)
    channels = options.get("num_channels", 3)
    video = torch.randn(2, 4, channels, *ours.config.pixels, requires_grad=True)
    copy = video.detach().clone().requires_grad_()
    logits, expected = ours(video), theirs(pixel_values=copy).logits
    assert near(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    assert video.grad is not None
    assert copy.grad is not None
    assert (video.grad - copy.grad).abs().max() <= 1e-4 * copy.grad.abs().max()
    largest = max(p.grad.abs().max() for p in theirs.parameters() if p.grad is not None)
    own = dict(theirs.named_parameters())["vivit.embeddings.patch_embeddings.projection.weight"].grad
    assert (ours.embedding.weight.grad - own).abs().max() <= 1e-4 * largest


@pytest.mark.parametrize("kind", ["VivitForVideoClassification", "VideoMAEForVideoClassification"])
@pytest.mark.parametrize("how", ["saved", "names of 5.x", "shards", "half", "pickle", "pickle in shards"])
def test_ways_of_saving(tmp_path: Path, kind: str, how: str) -> None:
    save: dict[str, Any] = {
        "names of 5.x": {"save_original_format": False},
        "shards": {"max_shard_size": "20KB"},
    }
    theirs = make(tmp_path, kind, save.get(how))
    if how == "half":
        theirs.half().save_pretrained(tmp_path)
        theirs.float()
    if how.startswith("pickle"):
        pickled(tmp_path, shards=2 if how.endswith("shards") else 1)
    if how == "shards":
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    if how == "names of 5.x":
        assert "q_proj" in report_of(tmp_path) or "query.bias" in report_of(tmp_path)
    video = torch.randn(1, 4, 3, 32, 32)
    ours, _, _, report = read_classifier(tmp_path)
    assert near(ours(video), theirs(pixel_values=video).logits)
    assert ours.head.weight.dtype == torch.float32
    assert {row.ours for row in report.rows} == set(ours.state_dict())


def report_of(folder: Path) -> str:
    return " ".join(row.theirs for row in read_classifier(folder)[3].rows)


def pickled(folder: Path, shards: int) -> None:
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return
    where = {name: f"pytorch_model-{i % shards}.bin" for i, name in enumerate(tensors)}
    for part in set(where.values()):
        torch.save({name: t for name, t in tensors.items() if where[name] == part}, folder / part)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_mean_pooling": False},
        {"qv_bias": False},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "image_size": [32, 16], "patch_size": [8, 4]},
        {"num_channels": 1, "num_frames": 6},
    ],
)
def test_videomae(tmp_path: Path, options: dict[str, Any]) -> None:
    theirs = make(tmp_path, "VideoMAEForVideoClassification", **options)
    ours, view, _, report = read_classifier(tmp_path)
    keys = [name for name in ours.state_dict() if name.endswith(".key.bias")]
    assert [row.ours for row in report.rows if row.action == "fresh"] == keys
    video = torch.randn(2, ours.config.frames, options.get("num_channels", 3), *ours.config.pixels)
    assert near(ours(video), theirs(pixel_values=video).logits)
    assert (view.stride, view.frames) == (4, ours.config.frames)


def test_a_key_bias_that_starts_at_zero_stays_there(tmp_path: Path) -> None:
    make(tmp_path, "VideoMAEForVideoClassification")
    ours, _, _, _ = read_classifier(tmp_path)
    ours(torch.randn(2, 4, 3, 32, 32)).square().sum().backward()
    gradients = {name: p.grad.abs().max() for name, p in ours.named_parameters() if p.grad is not None}
    largest = max(float(g) for g in gradients.values())
    assert all(float(g) <= 1e-5 * largest for name, g in gradients.items() if name.endswith("key.bias"))


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("kind", ["VideoMAEForPreTraining", "VideoMAEModel"])
def test_a_pretrained_videomae_starts_a_classifier(tmp_path: Path, kind: str, mean: bool) -> None:
    theirs = make(tmp_path, kind, use_mean_pooling=mean)
    with pytest.raises(WeightsError, match=r"without a classifier.*labels of the new head"):
        read_classifier(tmp_path)
    labels = Labels.single(["jump", "run"])
    ours, _, found, report = read_classifier(tmp_path, labels)
    assert found == labels
    video = torch.randn(2, 4, 3, 32, 32)
    assert torch.equal(ours(video), torch.zeros(2, 2))
    encoder = getattr(theirs, "videomae", theirs)
    encoder.layernorm = torch.nn.Identity()
    tokens = encoder(pixel_values=video).last_hidden_state
    expected = torch.nn.functional.layer_norm(tokens.mean(dim=1), (24,), eps=1e-5)
    assert near(ours.features(video), expected)
    left = {row.theirs for row in report.rows if row.action == "left out"}
    assert ("decoder.norm.weight" in left) == (kind == "VideoMAEForPreTraining")
    assert ("layernorm.weight" in [r.theirs.split("videomae.")[-1] for r in report.rows]) == (not mean)


def test_the_command_gives_a_pretrained_videomae_its_classes(tmp_path: Path) -> None:
    make(tmp_path / "theirs", "VideoMAEForPreTraining")
    arguments = [str(tmp_path / "theirs"), str(tmp_path / "ours"), "--labels", "jump", "run"]
    assert convert.main("tubelet convert", arguments) == 0
    assert load(tmp_path / "ours").labels == Labels.single(["jump", "run"])


def test_a_bare_vivit_starts_a_classifier_on_its_pooler(tmp_path: Path) -> None:
    theirs = make(tmp_path, "VivitModel", pooler_output_size=16)
    with pytest.raises(WeightsError, match="without a classifier"):
        read_classifier(tmp_path)
    ours, _, _, report = read_classifier(tmp_path, Labels.single(["a", "b", "c"]))
    video = torch.randn(2, 4, 3, 32, 32)
    assert near(ours.features(video), theirs(pixel_values=video).pooler_output)
    assert [row.ours for row in report.rows if row.action == "fresh"] == ["head.weight", "head.bias"]
    change(tmp_path, pooler_act="relu")
    with pytest.raises(WeightsError, match="pooler_act='relu'"):
        read_classifier(tmp_path, Labels.single(["a", "b", "c"]))


def change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize("kind", ["VivitForVideoClassification", "VideoMAEForVideoClassification"])
def test_what_does_not_fit_is_one_error_that_lists_all(tmp_path: Path, kind: str) -> None:
    make(tmp_path, kind)
    change(tmp_path, hidden_size=28)
    with pytest.raises(WeightsError) as error:
        read_classifier(tmp_path)
    assert str(error.value).count("\n") > 40
    for field, value, words in (
        ("model_type", "bert", "'bert'"),
        ("hidden_act", "swish", "'swish'"),
        ("num_attention_heads", "many", "num_attention_heads|heads"),
        ("tubelet_size", None, "makes no model"),
        ("id2label", {"1": "a"}, "makes no model"),
    ):
        make(tmp_path, kind)
        change(tmp_path, **{field: value})
        with pytest.raises(WeightsError, match=words):
            read_classifier(tmp_path)


def test_a_pooler_beside_a_classifier_is_left_out(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["vivit.pooler.dense.weight"] = torch.ones(24, 24)
    save_file(tensors, tmp_path / "model.safetensors")
    ours, _, _, report = read_classifier(tmp_path)
    assert ours.representation is None
    assert [(r.theirs, r.remark) for r in report.rows if r.action == "left out"] == [
        ("vivit.pooler.dense.weight", "no classifier uses it")
    ]


@pytest.mark.parametrize(
    ("problem_type", "kind"),
    [
        (None, "single"),
        ("single_label_classification", "single"),
        ("multi_label_classification", "multi"),
        ("regression", "number"),
    ],
)
def test_class_names(tmp_path: Path, problem_type: str | None, kind: Any) -> None:
    make(tmp_path, id2label={0: "jump", 1: "run"}, num_labels=2, problem_type=problem_type)
    assert read_classifier(tmp_path)[2] == Labels((Head("label", ("jump", "run"), kind),))
    mine = Labels.single(["up", "down"])
    assert read_classifier(tmp_path, mine)[2] == mine


def test_something_something_is_looked_at_whole(tmp_path: Path) -> None:
    make(tmp_path, "VideoMAEForVideoClassification", num_labels=174)
    _, view, _, report = read_classifier(tmp_path)
    assert view.uniform
    assert "Something-Something" in report.assumed["uniform"]
