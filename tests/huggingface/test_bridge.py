"""transformers' own classes on Tubelet folders, and what they return against the live ViViT."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

transformers = pytest.importorskip("transformers", reason="the bridge needs transformers")

import tubelet.huggingface as bridge  # noqa: E402
from tubelet.classifier import Classifier  # noqa: E402
from tubelet.errors import ConfigError  # noqa: E402
from tubelet.labels import Head, Labels  # noqa: E402
from tubelet.loading import MODELS, load  # noqa: E402
from tubelet.models.config import CHOICES, ViViTConfig  # noqa: E402
from tubelet.models.vivit import ViViT  # noqa: E402
from tubelet.video.view import View  # noqa: E402
from tubelet.weights.huggingface import read_classifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "pan_left.mp4"
CONFIG = ViViTConfig(
    frames=4, size=16, tubelet=(2, 8, 8), width=24, depth=2, heads=4, hidden=40, classes=(3,)
)
VIEW = View.scenic(frames=4, size=16, resize=18)
auto = transformers.AutoModelForVideoClassification


def save(folder: Path, labels: Labels | None = None, **fields: Any) -> Classifier:
    labels = labels or Labels.single(["jump", "run", "walk"])
    model = ViViT(replace(CONFIG, **fields, classes=labels.classes))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    classifier = Classifier(model, VIEW, labels)
    classifier.save(folder, {"trained": {"epochs": 3}})
    return classifier


def near(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and bool(
        (ours - theirs).abs().max() <= 1e-5 * max(float(theirs.abs().max()), 1)
    )


@pytest.mark.parametrize("attention", CHOICES["attention"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal_1d"])
def test_the_auto_classes_know_a_folder(tmp_path: Path, attention: Any, positions: Any) -> None:
    classifier = save(tmp_path / "a", attention=attention, positions=positions)
    model, found = auto.from_pretrained(tmp_path / "a", output_loading_info=True)
    assert isinstance(model, bridge.TubeletForVideoClassification)
    assert not any(found[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.id2label == {0: "jump", 1: "run", 2: "walk"}
    video = torch.randn(2, 4, 3, 16, 16)
    assert torch.equal(model(video).logits, classifier.model(video))
    base = transformers.AutoModel.from_pretrained(tmp_path / "a")
    # With all tokens of the last block, which the base model gives out.
    assert torch.equal(base(video).pooler_output, classifier.model.features(video, every_token=True))
    model.save_pretrained(tmp_path / "b")
    again = load(tmp_path / "b")
    assert (again.labels, again.view, again.model.config) == (
        classifier.labels,
        classifier.view,
        classifier.model.config,
    )
    assert torch.equal(again.model(video), classifier.model(video))
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in "ab")
    assert {key: second[key] for key in first} == first


@pytest.mark.parametrize("attention", CHOICES["attention"])
def test_what_is_recorded_has_the_shapes_that_are_promised(tmp_path: Path, attention: Any) -> None:
    save(tmp_path, attention=attention)
    model = auto.from_pretrained(tmp_path, attn_implementation="eager")
    output = model(torch.randn(2, 4, 3, 16, 16), output_hidden_states=True, output_attentions=True)
    hidden, weights = ([list(t.shape) for t in some] for some in (output.hidden_states, output.attentions))
    expected = {
        "joint": ([[2, 9, 24]] * 3, [[2, 4, 9, 9]] * 2),
        "factorised_encoder": (
            [[2, 2, 5, 24]] * 3 + [[2, 3, 24]] * 5,
            [[2, 2, 4, 5, 5]] * 2 + [[2, 4, 3, 3]] * 4,
        ),
        "factorised_self_attention": ([[2, 8, 24]] * 3, [[2, 4, 4, 2, 2], [2, 2, 4, 4, 4]] * 2),
        "factorised_dot_product": ([[2, 8, 24]] * 3, [[2, 4, 2, 2, 2], [2, 2, 2, 4, 4]] * 2),
    }
    assert (hidden, weights) == expected[attention]
    assert all((w.sum(dim=-1) - 1).abs().max() <= 1e-5 for w in output.attentions)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.vivit.modules())


def test_outputs_are_those_of_the_live_vivit(tmp_path: Path) -> None:
    config = transformers.VivitConfig(
        image_size=16,
        num_frames=4,
        tubelet_size=[2, 8, 8],
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        num_labels=7,
        attn_implementation="eager",
    )
    theirs = transformers.VivitModel(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path / "theirs")
    model, view, labels, _ = read_classifier(tmp_path / "theirs", Labels.single(list("abc")))
    Classifier(model, view, labels).save(tmp_path / "ours")
    ours = transformers.AutoModel.from_pretrained(tmp_path / "ours")
    video = torch.randn(2, 4, 3, 16, 16)
    found = ours(video, output_hidden_states=True, output_attentions=True)
    expected = theirs(video, output_hidden_states=True, output_attentions=True)
    assert near(found.last_hidden_state, expected.last_hidden_state)
    assert near(found.pooler_output, expected.pooler_output)
    for name in ("hidden_states", "attentions"):
        mine, live = found[name], expected[name]
        assert len(mine) == len(live) == (4 if name == "hidden_states" else 3)
        assert all(near(a, b) for a, b in zip(mine, live, strict=True))
    plain = ours(video, return_dict=False)
    assert torch.equal(plain[0], found.last_hidden_state)


@pytest.mark.parametrize(
    ("classes", "multi_label", "labels"),
    [
        (7, False, torch.tensor([6, 2])),
        (1, False, torch.tensor([0.3, -1.2])),
        (7, True, torch.tensor([[1.0, 0, 1, 0, 0, 0, 1], [0.0] * 7])),
    ],
)
def test_losses_are_those_of_the_live_vivit(
    tmp_path: Path, classes: int, multi_label: bool, labels: Tensor
) -> None:
    options = {"problem_type": "multi_label_classification"} if multi_label else {}
    config = transformers.VivitConfig(
        image_size=16,
        num_frames=4,
        tubelet_size=[2, 8, 8],
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=40,
        num_labels=classes,
        **options,
    )
    theirs = transformers.VivitForVideoClassification(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    Classifier(*read_classifier(tmp_path / "theirs")).save(tmp_path / "ours")
    ours = auto.from_pretrained(tmp_path / "ours")
    video = torch.randn(2, 4, 3, 16, 16)
    found, expected = (m(pixel_values=video, labels=labels) for m in (ours, theirs))
    assert near(found.loss, expected.loss)
    assert near(found.logits, expected.logits)


@pytest.mark.parametrize(
    ("kind", "problem_type", "labels"),
    [
        ("single", None, torch.tensor([2, 0])),
        ("multi", "multi_label_classification", torch.tensor([[1.0, 0, 1], [0.0] * 3])),
        ("number", "regression", torch.randn(2, 3)),
    ],
)
def test_the_kind_of_a_head_is_their_problem_type(
    tmp_path: Path, kind: Any, problem_type: str | None, labels: Tensor
) -> None:
    head = Head("mood", ("a", "b", "c"), kind)
    save(tmp_path / "a", Labels((head,)))
    model = auto.from_pretrained(tmp_path / "a")
    assert model.config.problem_type == problem_type
    logits = (output := model(torch.randn(2, 4, 3, 16, 16), labels=labels)).logits
    functions = nn.functional
    losses = {"single": functions.cross_entropy, "number": functions.mse_loss}
    loss = losses.get(kind, functions.binary_cross_entropy_with_logits)
    assert near(output.loss, loss(logits, labels))
    model.save_pretrained(tmp_path / "b")
    again = load(tmp_path / "b")
    assert again.labels == Labels((head,))
    assert again.extra == {"trained": {"epochs": 3}}
    told = auto.from_pretrained(tmp_path / "a", problem_type="regression")
    told.save_pretrained(tmp_path / "c")
    assert load(tmp_path / "c").labels == Labels((Head("mood", head.classes, "number"),))


def test_several_heads_have_the_mean_of_their_losses(tmp_path: Path) -> None:
    heads = Labels((Head("verb", ("cut", "wash")), Head("noun", ("knife", "pan", "pot"))))
    save(tmp_path / "a", heads)
    model = auto.from_pretrained(tmp_path / "a")
    assert model.config.id2label[2] == "noun: knife"
    output = model(torch.randn(2, 4, 3, 16, 16), labels=torch.tensor([[0, 2], [1, -1]]))
    verb, noun = output.logits.split([2, 3], dim=-1)
    expected = nn.functional.cross_entropy(verb, torch.tensor([0, 1]))
    expected = (expected + nn.functional.cross_entropy(noun[:1], torch.tensor([2]))) / 2
    assert near(output.loss, expected)
    save(tmp_path / "b", Labels((Head("a", ("x", "y")), Head("b", ("u", "v"), "multi"))))
    with pytest.raises(ConfigError, match="multi-label"):
        auto.from_pretrained(tmp_path / "b")(torch.randn(1, 4, 3, 16, 16), labels=torch.zeros(1, 2).long())


def test_a_new_head_for_other_classes(tmp_path: Path) -> None:
    classifier = save(tmp_path / "a")
    names = {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}
    model = auto.from_pretrained(tmp_path / "a", num_labels=5, id2label=names, ignore_mismatched_sizes=True)
    video = torch.randn(2, 4, 3, 16, 16)
    assert torch.equal(model(video).logits, torch.zeros(2, 5))
    assert torch.equal(model.vivit.features(video), classifier.model.features(video))
    model.save_pretrained(tmp_path / "b")
    assert load(tmp_path / "b").labels == Labels.single("abcde")


def test_a_model_of_a_config_alone_is_as_new() -> None:
    model = auto.from_config(bridge.TubeletConfig(model=CONFIG.to_dict()))
    assert model.config.id2label == {0: "class 0", 1: "class 1", 2: "class 2"}
    assert float(model.vivit.embedding.weight.detach().std()) == pytest.approx(
        (2 * 8 * 8 * 3) ** -0.5, rel=0.2
    )
    assert torch.equal(model(torch.randn(1, 4, 3, 16, 16)).logits, torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="format 'tubelet'"):
        bridge.TubeletConfig(version=7)


def test_the_pipeline_sees_what_the_classifier_sees(tmp_path: Path) -> None:
    classifier = save(tmp_path)
    pipe = transformers.pipeline("video-classification", model=str(tmp_path))
    found = pipe(str(CLIP), top_k=2)
    expected = classifier.predict(CLIP, views="1x1").top(2)
    assert [(one["label"], pytest.approx(one["score"], abs=1e-6)) for one in found] == expected
    with pytest.raises(ConfigError, match="takes 4 frames"):
        pipe(str(CLIP), num_frames=8)
    assert pipe(str(CLIP), function_to_apply="none", top_k=1)[0]["score"] > 1


def test_the_pipeline_on_the_model_in_the_box() -> None:
    pipe = transformers.pipeline("video-classification", model=str(MODELS["camera-motion"]))
    found = {one["label"]: one["score"] for one in pipe(str(CLIP), top_k=16)}
    assert found["pan: left"] > 0.5
    for head in ("pan", "tilt", "zoom", "roll", "shake", "cut"):
        assert sum(score for name, score in found.items() if name.startswith(head)) == pytest.approx(
            1, abs=1e-5
        )


def test_the_pipeline_of_other_models_is_what_it_was() -> None:
    config = transformers.VivitConfig(
        image_size=16,
        num_frames=4,
        tubelet_size=[2, 8, 8],
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=40,
        num_labels=7,
    )
    processor = transformers.VivitImageProcessor(
        size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}
    )
    pipe = transformers.pipeline(
        "video-classification",
        model=transformers.VivitForVideoClassification(config),
        image_processor=processor,
    )
    assert len(pipe(str(CLIP), top_k=3)) == 3


def test_the_processor(tmp_path: Path) -> None:
    classifier = save(tmp_path)
    processor = bridge.TubeletVideoProcessor.from_pretrained(tmp_path)
    assert processor.view == classifier.view
    pixels = processor([CLIP, CLIP.read_bytes()])["pixel_values"]
    assert pixels.shape == (2, 4, 3, 16, 16)
    assert torch.equal(pixels[0], pixels[1])
    transformers.VivitConfig().save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="'vivit' model"):
        bridge.TubeletVideoProcessor.from_pretrained(tmp_path / "other")


@pytest.mark.parametrize("attention", CHOICES["attention"])
def test_the_trainer_learns_and_saves(tmp_path: Path, attention: Any) -> None:
    save(tmp_path / "start", attention=attention)
    model = auto.from_pretrained(tmp_path / "start")
    samples = [{"pixel_values": torch.randn(4, 3, 16, 16), "labels": i % 3} for i in range(4)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        warmup_steps=0,
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=samples)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    trainer.save_model(str(tmp_path / "end"))
    end = load(tmp_path / "end")
    assert all(torch.equal(t, end.model.state_dict()[name]) for name, t in model.state_dict().items())
    assert not torch.equal(end.model.head.weight, load(tmp_path / "start").model.head.weight)


def test_an_old_folder_is_still_read(tmp_path: Path) -> None:
    classifier = save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("model_type") == "tubelet"
    file.write_text(json.dumps(config))
    assert load(tmp_path).labels == classifier.labels
    assert torch.equal(
        bridge.TubeletForVideoClassification.from_pretrained(tmp_path).vivit.head.weight,
        classifier.model.head.weight,
    )


def test_the_core_never_imports_transformers() -> None:
    # tubelet.training is left to import-linter: its torchmetrics imports transformers wherever that is installed.
    code = "import sys, tubelet.loading, tubelet.cli; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
