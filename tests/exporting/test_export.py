"""All four models, in every format, answer as PyTorch does; what does not is not kept."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tubelet
from tubelet import Classifier, ConfigError, Labels, View, ViViT, ViViTConfig, WeightsError, export
from tubelet.cli import predict
from tubelet.engines.description import Description, Format
from tubelet.engines.model import EngineModel, levels_of
from tubelet.evaluation.manifest import model_sha256
from tubelet.exporting import graph
from tubelet.layers import parts
from tubelet.models.config import AttentionKind

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "zoom_in.mp4"
ENDINGS: dict[Format, str] = {"pt2": ".pt2", "aoti": ".pt2", "onnx": ".onnx", "openvino": ".xml"}


def made(attention: AttentionKind = "joint", depth: int = 2) -> Classifier:
    config = ViViTConfig(
        attention=attention, frames=4, size=32, tubelet=(2, 16, 16), width=24, depth=depth, heads=2, hidden=48,
        classes=(3, 4), temporal_depth=1 if attention == "factorised_encoder" else None,
    )  # fmt: skip
    model = ViViT(config, torch.Generator().manual_seed(1))
    nn.init.normal_(model.head.weight, std=0.3)
    view = View(frames=4, stride=2, size=32, fit="squash", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    return Classifier(model, view, Labels.numbered((3, 4)))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.mark.parametrize(
    ("format", "attention"),
    [
        ("onnx", "joint"),
        ("onnx", "factorised_encoder"),
        ("onnx", "factorised_self_attention"),
        ("onnx", "factorised_dot_product"),
        ("openvino", "factorised_encoder"),
        ("openvino", "factorised_dot_product"),
        ("pt2", "factorised_self_attention"),
    ],
)
def test_all_models_answer_the_same(format: Format, attention: AttentionKind, folder: Path) -> None:
    if format != "pt2":
        pytest.importorskip("onnxscript" if format == "onnx" else "openvino")
    classifier = made(attention, depth=1)
    out = folder / f"{attention}_{format}{ENDINGS[format]}"
    done = export(classifier, out, format=format, check=[CLIP])
    assert done.agreement.real
    assert done.agreement.difference <= 1e-4
    loaded = tubelet.load(out, trust=True)
    clips = torch.randn(5, 4, 3, 32, 32)  # a batch that was never seen
    torch.testing.assert_close(loaded.run(clips), classifier.run(clips), atol=1e-4, rtol=0)
    assert loaded.labels == classifier.labels
    assert loaded.view == classifier.view
    assert loaded.model.config == classifier.model.config
    torch.testing.assert_close(
        loaded.predict(CLIP).logits, classifier.predict(CLIP).logits, atol=1e-4, rtol=0
    )


@pytest.mark.skipif("TUBELET_COMPILE" not in os.environ, reason="half a minute of a C++ compiler: make soak")
def test_a_compiled_library_answers_the_same(folder: Path) -> None:
    classifier, out = made(depth=1), folder / "compiled.pt2"
    assert export(classifier, out, format="aoti").agreement.difference <= 1e-4
    assert any(name.endswith(".so") for name in zipfile.ZipFile(out).namelist())
    clips = torch.randn(3, 4, 3, 32, 32)
    torch.testing.assert_close(
        tubelet.load(out, trust=True).run(clips), classifier.run(clips), atol=1e-4, rtol=0
    )


def test_frames_go_in_as_they_are(folder: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    classifier, out = made(depth=1), folder / "uint8.onnx"
    export(classifier, out, format="onnx", with_preprocessing=True)
    levels = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    wanted = classifier.run(classifier.view.normalise(levels))
    (logits,) = ort.InferenceSession(str(out)).run(["logits"], {"video": levels.numpy()})
    np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-4)
    found = tubelet.load(out).predict(CLIP).logits
    torch.testing.assert_close(found, classifier.predict(CLIP).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "value", [{"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}, {"value_range": (-1.0, 1.0)}]
)
def test_levels_come_back_exactly(value: dict[str, tuple[float, ...]]) -> None:
    view = View(frames=4, stride=2, size=32, **value)  # pyright: ignore[reportArgumentType]
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(4, 3, 16, 16)
    assert torch.equal(levels_of(view, view.normalise(levels)), levels)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_low_precision_is_smaller_and_near(dtype: str, folder: Path) -> None:
    pytest.importorskip("onnxscript")
    classifier = made(depth=1)
    done = export(classifier, folder / f"{dtype}.onnx", format="onnx", dtype=dtype, check=[CLIP])  # pyright: ignore[reportArgumentType]
    assert 1e-6 < done.agreement.difference <= done.agreement.tolerance
    assert tubelet.load(done.files[0]).run(torch.randn(3, 4, 3, 32, 32)).dtype == torch.float32


def test_what_does_not_agree_is_not_kept(folder: Path) -> None:
    classifier, out = made(depth=2), folder / "away.pt2"
    second = classifier.model.get_submodule("encoder.blocks.1.mlp.layer.fc1")
    assert isinstance(second.bias, nn.Parameter)
    nn.init.constant_(second.bias, 1e5)  # more than float16 holds
    with pytest.raises(WeightsError, match=r"not kept.*drifts from block 2 of 2 on"):
        export(classifier, out, format="pt2", dtype="float16")
    assert not list(folder.glob("*away*"))
    assert not list(folder.glob(".part*"))


def test_no_choice_of_one_batch_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    classifier = made("factorised_self_attention", depth=1)
    description = Description(
        format="pt2", dtype="float32", config=classifier.model.config, view=classifier.view,
        labels=classifier.labels, with_preprocessing=False, weights_sha256="", versions={},
    )  # fmt: skip
    program = graph.program_of(classifier, description, torch.float32).module()
    for count in (1, 7):
        clips = torch.randn(count, 4, 3, 32, 32)
        torch.testing.assert_close(program(clips)[0], classifier.run(clips), atol=1e-5, rtol=0)
    assert not any("copy_" in str(node.target) for node in program.graph.nodes)


def test_pytorch_files_are_opened_on_trust_only(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "trust.pt2"
    export(made(depth=1), out, format="pt2")
    with monkeypatch.context() as patch:
        patch.setattr(torch.export, "load", lambda *_: pytest.fail("it was opened"))
        with pytest.raises(WeightsError, match="holds code"):
            tubelet.load(out)
    assert predict.main("tubelet predict", [str(CLIP), "--model", str(out), "--trust"]) == 0
    assert "class" in capsys.readouterr().out


def test_an_exported_model_only_answers(folder: Path) -> None:
    out = folder / "only.pt2"
    export(made(depth=1), out, format="pt2")
    with pytest.raises(FileExistsError):
        export(made(depth=1), out, format="pt2")
    loaded = tubelet.load(out, trust=True)
    assert loaded.to("cpu", torch.float32).dtype == torch.float32
    assert model_sha256(loaded) != model_sha256(made(depth=1))
    with pytest.raises(ConfigError, match="run on the CPU"):
        loaded.to("cuda")
    with pytest.raises(ConfigError, match="exported in"):
        loaded.to(dtype=torch.int8)
    with pytest.raises(ConfigError, match="exported in"):
        loaded.to(dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match="looked into"):
        loaded.features(CLIP)
    with pytest.raises(ConfigError, match="copied or changed"):
        loaded.with_fewer_tokens(merge=0.1)
    with pytest.raises(ConfigError, match="weights to itself"):
        loaded.save(folder / "saved")
    with pytest.raises(ConfigError, match="exported again"):
        export(loaded, folder / "again.pt2", format="pt2")
    with pytest.raises(ConfigError, match="frames and size are fixed"):
        loaded.run(torch.randn(1, 8, 3, 32, 32))
    assert isinstance(loaded.model, EngineModel)


def test_what_cannot_be_exported_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export(made(), tmp_path / "model.pt2", format="onnx")
    with pytest.raises(ConfigError, match="not in int8"):
        export(made(), tmp_path / "model.pt2", format="pt2", dtype="int8")
    with pytest.raises(ConfigError, match="fewer tokens"):
        export(made().with_fewer_tokens(merge=0.1), tmp_path / "model.pt2", format="pt2")
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_taken_for_ours(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    archive = tmp_path / "other.pt2"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("other/data.pkl", b"")
    for file in (broken, archive):
        with pytest.raises(WeightsError):
            tubelet.load(file, trust=True)
    for text in ("[]", '{"version": 2}', "{}", "no"):
        with pytest.raises(WeightsError, match="damaged"):
            Description.from_json(text, "a file")


def test_another_shape_is_resampled(folder: Path) -> None:
    from tubelet.exporting.export import reshaped

    classifier = reshaped(made(depth=1), frames=6, size=48)
    done = export(classifier, folder / "larger.pt2", format="pt2")
    assert done.description.clip_shape == (6, 3, 48, 48)
    assert done.agreement.difference <= 1e-4
    assert classifier.view == replace(made().view, frames=6, size=48)
