"""Every table of names of image ViTs is inverted: read(write(x)) == x for random models."""

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.image_names import HUGGINGFACE, HUGGINGFACE_5, JAX, TIMM, jax_names
from tubelet.weights.image_vit import from_jax, from_torch, join_qkv, split_qkv
from tubelet.weights.rename import Rename, read, write
from tubelet.weights.source import SourceModel

TABLES = {"timm": TIMM, "huggingface": HUGGINGFACE, "huggingface_5": HUGGINGFACE_5, "jax": JAX}


def image_vit(heads: int, depth: int, token: bool, bias: bool, representation: int | None) -> ViViT:
    config = ViViTConfig(
        frames=1, size=(8, 8), tubelet=(1, 4, 4), width=64 * heads, depth=depth, heads=heads, hidden=12,
        classes=(3,), representation=representation, pool="class" if token else "mean", qkv_bias=bias,
    )  # fmt: skip
    model = ViViT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def same(found: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    return set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(list(TABLES)),
    heads=st.sampled_from([1, 2]),
    depth=st.integers(1, 3),
    token=st.booleans(),
    bias=st.booleans(),
    representation=st.sampled_from([None, 6]),
)
def test_inverted(
    name: str, heads: int, depth: int, token: bool, bias: bool, representation: int | None
) -> None:
    representation = representation if name == "jax" else None  # only JAX's have such a layer
    model = image_vit(heads, depth, token, bias, representation)
    state = model.state_dict()
    written = write(state, TABLES[name], lambda _: heads)
    if name == "timm":
        written = join_qkv(written)
        assert "blocks.0.attn.qkv.weight" in written
    renamed, unknown = read(split_qkv(written), TABLES[name])
    assert not unknown
    assert same({r.ours: r.tensor for r in renamed}, state)
    source: SourceModel = (from_jax if name == "jax" else from_torch)(
        written, "file", *["format"] * (name == "jax")
    )
    assert same(source.named, state)
    assert source.config.resolved().to_dict() | {"activation": "", "norm_eps": 0} == (
        model.config.to_dict() | {"activation": "", "norm_eps": 0, "size": 8}
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_name_stands_twice(table: list[Rename]) -> None:
    assert len({row.theirs for row in table}) == len(table) == len({row.ours for row in table})


def test_archives_of_other_prefixes() -> None:
    """big_vision has had `opt/target/` and `params/`, heads of another name, and positions at the top."""
    state = image_vit(2, 2, True, True, None).state_dict()
    plain = write(state, JAX, lambda _: 2)
    for prefix, swaps in (
        ("opt/target/", {}),
        ("params/", {"Transformer/posembed_input/pos_embedding": "pos_embedding"}),
    ):
        named = {prefix + swaps.get(n, n).replace("output_projection/", "head/"): t for n, t in plain.items()}
        source = from_jax({**named, "opt/state/step": torch.ones(())}, "file", "format")
        assert same(source.named, state)
        assert [(row.theirs, row.action) for row in source.left] == [("opt/state/step", "left out")]
    assert jax_names("heads/kernel") == "heads/kernel"


@settings(max_examples=120, deadline=None)
@given(data=st.data(), name=st.sampled_from(list(TABLES)))
def test_tensors_of_any_shape(data: st.DataObject, name: str) -> None:
    """Tensors of wrong shapes, missing or too many: a model or a WeightsError that names them, nothing else."""
    written = write(image_vit(1, 1, True, True, None).state_dict(), TABLES[name], lambda _: 1)
    if name == "timm":
        written = join_qkv(written)
    names = sorted(written)
    for _ in range(data.draw(st.integers(1, 3))):
        victim = data.draw(st.sampled_from(names))
        shape = data.draw(st.lists(st.integers(1, 5), max_size=6))
        written[victim] = torch.ones(shape)
    if data.draw(st.booleans()):
        written.pop(data.draw(st.sampled_from(names)), None)
    with contextlib.suppress(WeightsError):
        (from_jax if name == "jax" else from_torch)(written, "file", *["format"] * (name == "jax"))
