"""Layers of all four models, against what a whole pass holds."""

import pytest
import torch
from torch import Tensor

from tests.evaluation.motion import VIEW, classifier_of
from tubelet.classifier import Classifier
from tubelet.errors import ConfigError
from tubelet.features.layer import Layer, Pool, clip_features, tokens_of, video_features
from tubelet.labels import Labels
from tubelet.models.config import AttentionKind, ViViTConfig
from tubelet.models.recording import record
from tubelet.models.vivit import ViViT

MODELS: tuple[AttentionKind, ...] = (
    "joint",
    "factorised_encoder",
    "factorised_self_attention",
    "factorised_dot_product",
)


def model_of(attention: AttentionKind, **fields: object) -> ViViT:
    config = ViViTConfig(
        attention=attention, frames=4, size=16, tubelet=(2, 8, 8), width=12, depth=2, heads=2, hidden=16,
        classes=(2,), **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    torch.manual_seed(1)
    return ViViT(config).eval()


@pytest.fixture
def clips() -> Tensor:
    return torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("attention", MODELS)
@torch.no_grad()
def test_tokens_are_the_hidden_states_of_a_whole_pass(attention: AttentionKind, clips: Tensor):
    """`NAME.k` are the tokens that have gone through k blocks; the last encoder's are its output."""
    model = model_of(attention)
    states = record(model, clips)
    names = ["spatial", "temporal"] if attention == "factorised_encoder" else ["encoder"]
    hidden = iter(states.hidden_states)
    for name in names:
        depth = 4 if name == "temporal" else 2
        for blocks in range(depth + 1):
            layer = Layer.of(f"{name}.{blocks}", "none")
            torch.testing.assert_close(tokens_of(model, layer, clips), next(hidden), rtol=0, atol=0)
    last = tokens_of(model, Layer.of(names[-1], "none"), clips)
    torch.testing.assert_close(last, states.last_hidden_state, rtol=0, atol=0)
    torch.testing.assert_close(model.features(clips, every_token=True), states.features, rtol=0, atol=0)
    torch.testing.assert_close(clip_features(model, Layer.of(), clips), model.features(clips), rtol=0, atol=0)
    torch.testing.assert_close(model.features(clips), states.features, rtol=1e-5, atol=1e-5)
    assert not any(module._forward_hooks for module in model.modules()), "nothing listens afterwards"


@pytest.mark.parametrize("attention", MODELS)
@pytest.mark.parametrize("pool", ["mean", "class", "moments", "none"])
@torch.no_grad()
def test_shapes_and_pools(attention: AttentionKind, pool: Pool, clips: Tensor):
    model = model_of(attention)
    for name in ["spatial", "temporal"] if attention == "factorised_encoder" else ["encoder"]:
        layer = Layer.of(name, pool)
        if pool == "class" and not model.config.has_class_token:
            with pytest.raises(ConfigError, match="no class token"):
                layer.check(model)
            continue
        found = clip_features(model, layer, clips)
        shape = layer.shape(model.config, (4, 16, 16), 1)
        assert tuple(found.shape) == (3, *(shape if layer.single else shape[1:]))
        tokens = tokens_of(model, layer, clips)
        extra = int(model.config.has_class_token)
        if pool == "mean":
            expected = tokens[..., extra:, :].flatten(1, -2).mean(dim=1)
        elif pool == "class":
            expected = tokens[:, :, 0].mean(dim=1) if name == "spatial" else tokens[:, 0]
        elif pool == "none":
            expected = tokens
        elif name == "encoder":
            expected = tokens[:, extra:].reshape(3, 2, 4, 12).mean(dim=2)
        else:
            expected = tokens[:, :, extra:].mean(dim=2) if name == "spatial" else tokens[:, extra:]
        torch.testing.assert_close(found, expected)


def test_what_is_behind_the_layer_is_not_computed(clips: Tensor):
    model = model_of("joint")
    assert model.encoder is not None
    ran: list[int] = []
    model.encoder.blocks[1].register_forward_hook(lambda *_: ran.append(1))
    tokens_of(model, Layer.of("encoder.1", "none"), clips)
    assert ran == []
    tokens_of(model, Layer.of("encoder.2", "none"), clips)
    assert ran == [1]


def test_views_are_averaged_or_kept():
    classifier = classifier_of(("left", "right"))
    pixels = torch.randint(0, 256, (6, 4, 3, 16, 16), dtype=torch.uint8)
    each = video_features(classifier, Layer.of("encoder"), pixels, 1, chunk=4)
    mean = video_features(classifier, Layer.of("encoder"), pixels, 3)
    torch.testing.assert_close(mean, each.reshape(2, 3, 16).mean(dim=1))
    tokens = video_features(classifier, Layer.of("encoder", "none"), pixels, 3)
    assert tokens.shape == (2, 3, 9, 16)


@pytest.mark.parametrize(
    ("name", "pool", "told"),
    [
        ("blocks.3", None, "say head, encoder"),
        ("encoder.x", None, "say head, encoder"),
        ("head", "mean", "one vector already"),
        ("encoder", "median", "mean, class, moments, none"),
        ("encoder.9", None, r"It has: encoder \(1 blocks\)"),
        ("spatial", None, "no layer spatial"),
    ],
)
def test_layers_that_are_not_there(name: str, pool: Pool | None, told: str):
    with pytest.raises(ConfigError, match=told):
        Layer.of(name, pool).check(classifier_of(("a",)).model)


def test_fewer_tokens_have_no_place():
    config = ViViTConfig(
        frames=4, size=16, tubelet=(2, 8, 8), width=12, depth=1, heads=2, hidden=16, classes=(1,)
    )
    fewer = Classifier(ViViT(config), VIEW, Labels.single(("a",))).with_fewer_tokens(merge=0.2)
    Layer.of().check(fewer.model)
    with pytest.raises(ConfigError, match="features of the head alone"):
        Layer.of("encoder").check(fewer.model)
