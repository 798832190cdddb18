"""Starting a ViViT from other weights: each named rule, each refusal, and a report of every tensor."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.classifier import Classifier
from tubelet.errors import ConfigError, WeightsError
from tubelet.labels import Head, Labels
from tubelet.models.config import CHOICES, ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.starting import begin, source_of
from tubelet.video.view import View
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start, start_config
from tubelet.weights.surgeon import fill

VIDEO = ViViTConfig(frames=8, size=16, tubelet=(2, 8, 8), width=8, depth=3, heads=2, hidden=12, classes=(4,))
IMAGE = replace(VIDEO, frames=1, tubelet=(1, 8, 8), pool="class")
NOUNS, VERBS = Head("noun", ("cup", "pan", "lid")), Head("verb", ("take", "put"))


@torch.no_grad()
def classifier(config: ViViTConfig, labels: Labels | None = None) -> Classifier:
    """A classifier with random weights."""
    model = ViViT(config)
    for parameter in model.parameters():
        parameter.normal_(0, 0.5)
    view = View(frames=config.frames, stride=1, size=config.size, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    return Classifier(model, view, labels or Labels.numbered(config.classes))


def source(config: ViViTConfig = VIDEO, labels: Labels | None = None) -> SourceModel:
    return replace(source_of(classifier(config, labels)), image=config.frames == 1)


def video(config: ViViTConfig, still: bool = False) -> torch.Tensor:
    clip = torch.randn(2, 1 if still else config.frames, config.channels, *config.pixels)
    return clip.expand(-1, config.frames, -1, -1, -1)


@torch.no_grad()
def test_a_model_starts_as_itself() -> None:
    for kind in CHOICES["attention"]:
        config: Any = replace(VIDEO, attention=kind)
        found = source(config)
        model = ViViT(config)
        report = fill(model, found, Start(heads="kept"))
        assert report.count("taken") == len(report.rows) == len(model.state_dict())
        assert all(torch.equal(tensor, found.named[name]) for name, tensor in model.state_dict().items())


fields = st.fixed_dictionaries(
    {
        "attention": st.sampled_from(CHOICES["attention"]),
        "frames": st.sampled_from([4, 8, 12]),
        "size": st.sampled_from([8, 16, (24, 16)]),
        "tubelet": st.sampled_from([1, 2, 4]),
        "depth": st.integers(1, 3),
        "channels": st.sampled_from([1, 2, 3, 5, 16]),
        "classes": st.sampled_from([(4,), (7,), (2, 3)]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    fields=fields,
    image=st.booleans(),
    temporal=st.sampled_from([0, 2]),
    copied=st.sampled_from(["copied", "random"]),
    attention=st.sampled_from(["copied", "zero", "zero_all", "random"]),
)
def test_every_tensor_is_reported(
    fields: dict[str, Any], image: bool, temporal: int, copied: Any, attention: Any
) -> None:
    """Each of the file's names has a row, each of the model's has exactly one, and shapes are the model's."""
    found = source(IMAGE if image else VIDEO)
    if fields["attention"] == "factorised_encoder":
        fields = {**fields, "temporal_depth": min(temporal, fields["depth"])}
    config = start_config(found, **fields)
    model = ViViT(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rules = Start(inflation="average", temporal_encoder=copied, temporal_attention=attention)
    report = fill(model, found, rules)
    assert {row.theirs for row in report.rows if row.theirs} == set(found.named)
    ours = [row.ours for row in report.rows if row.ours]
    assert sorted(ours) == sorted(model.state_dict())
    for row in report.rows:
        if row.ours:
            assert row.shape == tuple(model.state_dict()[row.ours].shape)
        if row.action in ("resized", "inflated", "tiled"):
            assert " to " in row.remark or "moved" in row.remark
        if row.action == "fresh" and not row.theirs:
            assert torch.equal(before[row.ours], model.state_dict()[row.ours])
        if row.action == "left out":
            assert row.remark
    with torch.no_grad():
        assert model(video(config)).isfinite().all()


def test_shapes_are_in_the_remarks() -> None:
    found = source(replace(VIDEO, tubelet=(1, 8, 8), frames=4))
    model = ViViT(replace(VIDEO, size=32, channels=1, frames=6))
    report = {row.ours: row for row in fill(model, found).rows}
    row = report["encoder.positions.table"]
    assert row.action == "resized"
    assert row.remark == "(4, 2, 2) to (3, 4, 4): resize, [1, 17, 8] to [1, 49, 8]"
    row = report["embedding.weight"]
    assert row.action == "inflated"
    assert row.remark == (
        "3 to 1 channels: energy, 1 to 2 frames: central_frame, [8, 3, 1, 8, 8] to [8, 1, 2, 8, 8]"
    )
    assert report["embedding.bias"].remark == "moved by the channels' means"


@torch.no_grad()
@pytest.mark.parametrize("frames", [4, 6, 16])
def test_more_and_fewer_frames_and_another_size(frames: int) -> None:
    """The start computes what the model itself does at that length and size, which resamples as it runs."""
    for kind in ("joint", "factorised_encoder", "factorised_self_attention"):
        config: Any = replace(VIDEO, attention=kind)
        old = classifier(config)
        new = begin(source_of(old), replace(config, frames=frames, size=24), Start(heads="kept"))
        clip = torch.randn(2, frames, 3, 24, 24)
        torch.testing.assert_close(new.model(clip), old.model(clip), rtol=1e-5, atol=1e-5)
        assert (new.view.frames, new.view.size, new.view.mean) == (frames, 24, old.view.mean)
        assert new.labels == old.labels


@torch.no_grad()
def test_longer_tubelets_see_a_still_video_as_before() -> None:
    old = classifier(VIDEO)
    config = replace(VIDEO, tubelet=(4, 8, 8), frames=16)
    new = begin(source_of(old), config, Start(inflation="average", heads="kept"))
    clip = video(VIDEO, still=True)
    torch.testing.assert_close(new.model(video(config, still=True) * 0 + clip[:, :1]), old.model(clip))


@torch.no_grad()
def test_model_1_into_the_others() -> None:
    """Without time, on a still video of one step, each of the four computes what Model 1 does."""
    one = replace(VIDEO, frames=2, pool="mean")
    old = classifier(one)
    rules = Start(heads="kept", temporal_attention="zero")
    clip = video(one)
    for kind, more in (
        ("factorised_encoder", {"temporal_depth": 0}),
        ("factorised_self_attention", {}),
    ):
        new = begin(source_of(old), start_config(source_of(old), attention=kind, pool="mean", **more), rules)
        torch.testing.assert_close(new.model(clip), old.model(clip), rtol=1e-4, atol=1e-4)
    new = begin(source_of(old), replace(one, attention="factorised_dot_product"), rules)
    assert all(torch.equal(a, b) for a, b in zip(new.model.parameters(), old.model.parameters(), strict=True))


def test_zero_attention_over_time_learns_and_all_zero_does_not() -> None:
    config = replace(VIDEO, attention="factorised_self_attention")
    found = source(IMAGE)
    learned: dict[str, bool] = {}
    for rule in ("copied", "zero", "zero_all"):
        model = ViViT(config)
        fill(model, found, Start(temporal_attention=rule))  # pyright: ignore[reportArgumentType]
        torch.nn.init.normal_(model.head.weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        for _ in range(3):
            optimizer.zero_grad()
            model(video(config)).square().sum().backward()
            optimizer.step()
        time = [n for n in before if ".time.layer." in n and n.endswith("weight")]
        learned[rule] = all(not torch.equal(before[n], p) for n, p in model.named_parameters() if n in time)
        if rule == "zero_all":
            assert all(torch.equal(before[n], p) for n, p in model.named_parameters() if n in time)
    assert learned == {"copied": True, "zero": True, "zero_all": False}


def test_the_temporal_encoder_copied() -> None:
    config = replace(VIDEO, attention="factorised_encoder", temporal_depth=2)
    found, model = source(IMAGE), ViViT(config)
    fill(model, found, Start(temporal_encoder="copied", spatial_class_token="copied"))
    state = model.state_dict()
    for name, tensor in found.named.items():
        part = name.removeprefix("encoder.")
        if part.startswith(("blocks.0.", "blocks.1.", "norm.")):
            assert torch.equal(state[f"temporal.{part}"], tensor)
    assert torch.equal(state["spatial.class_token"], found.named["encoder.class_token"])
    assert not state["temporal.class_token"].any()
    other = replace(config, temporal_heads=4, temporal_hidden=5, temporal_depth=4)
    with pytest.raises(ConfigError) as error:
        fill(ViViT(other), found, Start(temporal_encoder="copied"))
    for part in (
        "temporal_heads: 2 in the file, 4",
        "temporal_hidden: 12 in the file, 5",
        "temporal_depth: 3",
    ):
        assert part in str(error.value)


def test_heads_by_name() -> None:
    old = source(replace(VIDEO, classes=(3, 2)), Labels((NOUNS, VERBS)))
    labels = Labels((VERBS, Head("place", ("here", "there")), NOUNS))
    config = replace(VIDEO, classes=(2, 2, 3))
    new = begin(old, config, Start(heads=("noun",)), labels)
    weight, theirs = new.model.head.weight, old.named["head.weight"]
    assert torch.equal(weight[4:], theirs[:3])
    assert not weight[:4].any()
    assert new.report is not None
    assert new.report.count("split") == 2
    both = begin(old, config, Start(heads=("noun", "verb")), labels).model.head.weight
    assert torch.equal(both[:2], theirs[3:])
    for names, named in ((("noun",), None), (("place",), labels)):
        with pytest.raises(ConfigError, match="not a head of the same classes"):
            begin(old, config, Start(heads=names), named)
    with pytest.raises(WeightsError, match=r"head\.weight \[5, 8\] into head\.weight: \[7, 8\]"):
        begin(old, config, Start(heads="kept"), labels)
    headless = replace(old, tensors=tuple(r for r in old.tensors if not r.ours.startswith("head.")))
    with pytest.raises(ConfigError, match="no head to keep"):
        fill(ViViT(config), headless, Start(heads="kept"))
    assert Start(heads=["noun"]) == Start(heads=("noun",))  # pyright: ignore[reportArgumentType]


def test_what_has_no_rule_is_one_error_and_changes_nothing() -> None:
    model = ViViT(replace(VIDEO, width=16, heads=4, hidden=20, depth=5, tubelet=(2, 4, 8), final_norm=False))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError) as error:
        fill(model, source(replace(VIDEO, attention="factorised_self_attention")))
    for part in ("there is no rule from factorised_self_attention to joint", "tubelet: patches of (8, 8)", "width: 8",
                 "hidden: 12", "heads: 2", "depth: 3", "final_norm: True"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(WeightsError, match="'tile' needs"):
        fill(ViViT(replace(VIDEO, size=24)), source(), Start(positions="tile"))
    with pytest.raises(ConfigError, match="sinusoidal_1d in the file, learned in the model"):
        fill(ViViT(VIDEO), source(replace(VIDEO, positions="sinusoidal_1d")))
    with pytest.raises(ConfigError, match="no field colour"):
        start_config(source(), colour=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_damaged_source_is_one_error() -> None:
    whole = source()
    with pytest.raises(WeightsError) as error:
        replace(whole, config=replace(VIDEO, depth=2, hidden=13))
    assert "left over: encoder.blocks.2.mlp.layer.fc1.weight" in str(error.value)
    assert "shape: encoder.blocks.0.mlp.layer.fc1.weight is [12, 8], not [13, 8]" in str(error.value)
    with pytest.raises(WeightsError, match=r"missing: encoder\.norm\.weight"):
        replace(whole, tensors=tuple(r for r in whole.tensors if r.ours != "encoder.norm.weight"))


def test_kept_parts_are_the_models_own() -> None:
    model = ViViT(VIDEO)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = fill(model, source(), Start(inflation="kept", positions="kept"))
    kept = {"embedding.weight", "embedding.bias", "encoder.positions.table", "head.weight", "head.bias"}
    assert {row.ours for row in report.rows if row.action == "fresh"} == kept
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in kept)
