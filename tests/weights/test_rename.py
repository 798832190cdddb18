"""Every table of names is inverted: read(write(x)) == x for random models."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.models.config import CHOICES, ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights import image_vit, scenic, videomae, vivit_folder
from tubelet.weights.rename import match, read, write


@settings(max_examples=25, deadline=None)
@given(
    attention=st.sampled_from(CHOICES["attention"]),
    heads=st.sampled_from([2, 4]),
    head_dim=st.sampled_from([None, 5]),
    depth=st.integers(1, 3),
    representation=st.sampled_from([None, 6]),
)
def test_scenic(attention: Any, heads: int, head_dim: Any, depth: int, representation: Any) -> None:
    config = ViViTConfig(
        attention=attention,
        frames=4,
        size=8,
        tubelet=(2, 4, 4),
        width=8,
        depth=depth,
        heads=heads,
        head_dim=head_dim,
        hidden=12,
        classes=(3,),
        representation=representation,
    )
    state = ViViT(config).state_dict()
    table = scenic.table(False, attention == "factorised_self_attention")
    written = write(state, table, lambda _: heads)
    renamed, unknown = read(written, table)
    assert not unknown
    assert {r.ours for r in renamed} == set(state)
    assert all(torch.equal(r.tensor, state[r.ours]) for r in renamed)


@pytest.mark.parametrize("family", [vivit_folder, videomae])
@pytest.mark.parametrize("generation", ["TABLE", "TABLE_5"])
@settings(max_examples=10, deadline=None)
@given(depth=st.integers(1, 12), mean=st.booleans(), representation=st.sampled_from([None, 6]))
def test_huggingface(family: Any, generation: str, depth: int, mean: bool, representation: Any) -> None:
    mae = family is videomae
    pooled = mae and mean
    config = ViViTConfig(
        frames=4,
        size=8,
        tubelet=(2, 4, 4),
        width=8,
        depth=depth,
        heads=2,
        hidden=12,
        classes=(3,),
        pool="mean" if pooled else "first" if mae else "class",
        positions="sinusoidal_1d" if mae else "learned",
        final_norm=not pooled,
        pooled_norm_eps=1e-5 if pooled else None,
        representation=None if mae else representation,
    )
    state = ViViT(config).state_dict()
    if mae:  # its keys have no bias
        state = {name: t for name, t in state.items() if not name.endswith(".key.bias")}
    table = getattr(family, generation)
    written = write(state, table, lambda _: 2)
    assert len(written) == len(state)
    renamed, unknown = read(written, table)
    assert not unknown
    assert {r.ours for r in renamed} == set(state)
    assert all(torch.equal(r.tensor, state[r.ours]) for r in renamed)


@pytest.mark.parametrize(
    "table",
    [
        scenic.table(),
        scenic.table(True),
        vivit_folder.TABLE,
        vivit_folder.TABLE_5,
        videomae.TABLE,
        videomae.TABLE_5,
        image_vit.TIMM,
    ],
)
def test_no_name_stands_twice(table: Any) -> None:
    assert len({row.theirs for row in table}) == len(table) == len({row.ours for row in table})


def test_match() -> None:
    assert match("a.{i}.b", "a.12.b") == "12"
    assert match("a.{i}.b", "a.x.b") is None
    assert match("a.b", "aXb") is None
    assert match("a.b", "a.b") == ""


def test_unknown_names_are_returned() -> None:
    _, unknown = read({"what": torch.ones(1)}, scenic.table())
    assert unknown == ["what"]
