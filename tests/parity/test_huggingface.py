"""Model 1 against the live ViViT of transformers: outputs 1e-5, gradients 1e-4."""

from pathlib import Path

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.weights.huggingface import load_huggingface

transformers = pytest.importorskip("transformers", reason="the live comparison needs transformers")


def make(folder: Path, **options: object) -> torch.nn.Module:
    settings = {
        "image_size": 32,
        "num_frames": 4,
        "tubelet_size": [2, 8, 8],
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "num_labels": 7,
    }
    model = transformers.VivitForVideoClassification(transformers.VivitConfig(**settings | options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{}, {"hidden_act": "gelu", "layer_norm_eps": 1e-3}, {"qkv_bias": False, "num_channels": 1}]
)
def test_forward_and_gradients(tmp_path: Path, options: dict[str, object]) -> None:
    theirs = make(tmp_path, **options)
    ours, names, report = load_huggingface(tmp_path)
    assert names is None
    assert report.count("taken") == len(ours.state_dict())
    channels = options.get("num_channels", 3)
    video = torch.randn(2, 4, channels, 32, 32, requires_grad=True)
    copy = video.detach().clone().requires_grad_()
    logits, expected = ours(video), theirs(pixel_values=copy).logits
    scale = expected.abs().max()
    assert (logits - expected).abs().max() <= 1e-5 * max(scale, 1)
    logits.square().sum().backward()
    expected.square().sum().backward()
    assert video.grad is not None
    assert copy.grad is not None
    assert (video.grad - copy.grad).abs().max() <= 1e-4 * copy.grad.abs().max()
    largest = max(p.grad.abs().max() for p in theirs.parameters() if p.grad is not None)
    own = dict(theirs.named_parameters())["vivit.embeddings.patch_embeddings.projection.weight"].grad
    assert (ours.embedding.weight.grad - own).abs().max() <= 1e-4 * largest


@pytest.mark.filterwarnings("ignore")
def test_what_does_not_fit_is_one_error_that_lists_all(tmp_path: Path) -> None:
    make(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"hidden_size": 24', '"hidden_size": 28'))
    with pytest.raises(WeightsError) as error:
        load_huggingface(tmp_path)
    assert str(error.value).count("\n") > 40
    (tmp_path / "config.json").write_text(text.replace("vivit", "bert"))
    with pytest.raises(WeightsError, match="'bert'"):
        load_huggingface(tmp_path)
