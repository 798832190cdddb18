from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.errors import ConfigError
from tubelet.models.config import CHOICES, ViViTConfig
from tubelet.models.variants import VARIANTS, variant


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"attention": "divided"}, "attention='divided' is not one of joint"),
        ({"pool": "gap"}, "not one of class, mean"),
        ({"frames": 0}, "whole number"),
        ({"frames": 31}, "multiple of 2 frames"),
        ({"size": 225}, "16x16"),
        ({"size": (224, 220)}, "224x220"),
        ({"classes": ()}, "nothing to predict"),
        ({"classes": (0,)}, "classes"),
        ({"dropout": 1.0}, "probability"),
        ({"norm_eps": 0.0}, "norm_eps"),
        ({"pooled_norm_eps": -1e-5}, "pooled_norm_eps=-1e-05"),
        ({"heads": 7}, "head_dim"),
        ({"temporal_depth": 4}, "belongs to the factorised encoder"),
        ({"attention": "factorised_encoder", "temporal_depth": -1}, "below 0"),
        ({"attention": "factorised_encoder", "temporal_heads": 7}, "temporal_heads=7"),
        ({"centre_frames": True}, "centre_frames is for Model 2"),
        (
            {"attention": "factorised_encoder", "temporal_depth": 0, "centre_frames": True},
            "centre_frames is for",
        ),
        ({"order": "time_space"}, "belongs to factorised self-attention"),
        ({"attention": "factorised_self_attention", "pool": "class"}, "no class token"),
        ({"attention": "factorised_dot_product", "pool": "class"}, "no class token"),
        ({"attention": "factorised_dot_product", "heads": 3}, "odd"),
        ({"sampled_frames": 8}, "single frames"),
        ({"sampled_frames": 64, "tubelet": (1, 16, 16)}, "cannot be sampled"),
        ({"frame_sampling": "official"}, "no effect"),
        ({"positions": "sinusoidal_3d"}, "class token has none"),
        ({"positions": "sinusoidal_3d", "pool": "mean", "width": 64, "heads": 4}, "6 divides"),
        ({"positions": "sinusoidal_1d", "width": 9, "heads": 3}, "even width"),
        ({"drop_path_rescale": True}, "no effect"),
        ({"tubelet": (16, 16)}, "three numbers"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        ViViTConfig(**fields)
    assert isinstance(error.value, ValueError)
    assert str(error.value).endswith((".", "too."))


def test_frozen_and_keyword_only() -> None:
    with pytest.raises(FrozenInstanceError):
        ViViTConfig().depth = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        ViViTConfig("joint")  # pyright: ignore[reportCallIssue]


@given(
    attention=st.sampled_from(CHOICES["attention"]),
    classes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    size=st.one_of(st.integers(1, 3).map(lambda n: 16 * n), st.just((32, 48))),
)
def test_dict_round_trip(attention: Any, classes: list[int], size: Any) -> None:
    config = ViViTConfig(attention=attention, classes=tuple(classes), size=size)
    full = config.resolved()
    assert ViViTConfig.from_dict(config.to_dict()) == full == full.resolved()


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match="no field colour"):
        ViViTConfig.from_dict({"colour": 0.1})


def test_paper_defaults_are_written_out() -> None:
    fe = ViViTConfig(attention="factorised_encoder").resolved()
    assert (fe.pool, fe.temporal_depth, fe.temporal_heads, fe.temporal_hidden) == ("class", 4, 12, 3072)
    fsa = ViViTConfig(attention="factorised_self_attention").resolved()
    assert (fsa.pool, fsa.order) == ("mean", "time_space")


def test_named_models() -> None:
    assert variant("b-16x2") == ViViTConfig()
    assert {"ti-16x2", "s-16x2", "b-16x2-fdp", "l-16x2-fe", "l-16x2-fe-24", "h-14x2"} <= set(VARIANTS)
    with pytest.raises(ConfigError, match="There are: b-16x2"):
        variant("b-32")
    assert replace(variant("b-16x2-fe"), classes=(5,)).classes == (5,)
