"""Token merging: who merges with whom, and that what equal tokens become answers as they did."""

import pytest
import torch

from tubelet.layers.block import Branch
from tubelet.layers.merging import attend_by_size, merge_tokens, pool_merged
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT

GENERATOR = torch.Generator().manual_seed(0)
CONFIG = ViViTConfig(
    frames=4, size=16, tubelet=(2, 4, 4), width=24, depth=2, heads=2, hidden=32, classes=(3,), pool="mean"
)


@torch.inference_mode()
def test_the_likest_are_averaged_by_size() -> None:
    # The tokens at 0, 2, 4 look for partners among those at 1, 3: 2 is most like 3, 0 next like 1.
    keys = torch.tensor([[[[1.0, 0.3], [1, 0], [0, 1], [0, 1], [-1, -1]]]])
    tokens = torch.tensor([[[[1.0], [2], [3], [4], [5]]]])
    sizes = torch.tensor([[1.0, 1, 3, 1, 1]])
    merged, grown = merge_tokens(tokens, keys, sizes, 1, keep_first=False)
    assert merged.flatten().tolist() == [1, 5, 2, pytest.approx((3 * 3 + 4) / 4)]
    assert grown.tolist() == [[1, 1, 1, 4]]
    merged, grown = merge_tokens(tokens, keys, sizes, 2, keep_first=False)
    assert merged.flatten().tolist() == [5, 1.5, pytest.approx(13 / 4)]
    assert grown.tolist() == [[1, 2, 4]]
    kept, _ = merge_tokens(tokens, keys, None, 2, keep_first=True)
    assert kept[0, 0, 0] == 1, "the first token is merged into none"


@torch.inference_mode()
def test_places_merge_alike_at_all_times() -> None:
    """At the first time 0 is likest to 1, at the second somewhat less to 3: over both, to 1."""
    keys = torch.tensor([[[[1.0, 0], [1, 0], [0, 1], [0, -1]], [[1, 0.2], [0.5, 1], [-1, 0], [0, 1]]]])
    tokens = torch.tensor([[[[1.0], [2], [3], [4]], [[10], [20], [30], [40]]]])
    merged, grown = merge_tokens(tokens, keys, None, 1, keep_first=False)
    assert merged[0, :, :, 0].tolist() == [[3, 1.5, 4], [30, 15, 40]]
    assert grown.tolist() == [[1, 2, 1]]


@torch.inference_mode()
def test_attention_by_size_is_attention_among_copies() -> None:
    model = ViViT(CONFIG, GENERATOR).eval()
    assert model.encoder is not None
    branch = model.encoder.get_submodule("blocks.0.attention")
    assert isinstance(branch, Branch)
    tokens = torch.randn(2, 4, 24, generator=GENERATOR)
    sizes = torch.tensor([[1, 2, 1, 3], [2, 1, 3, 1]])
    found, _ = attend_by_size(branch, tokens[:, None], sizes.float(), first_only=False)
    found = found[:, 0]
    for one, counts, out in zip(tokens, sizes, found, strict=True):
        copies = branch(one.repeat_interleave(counts, dim=0)[None])[0]
        torch.testing.assert_close(out.repeat_interleave(counts, dim=0), copies, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "sum"])
@torch.inference_mode()
def test_equal_tokens_merge_without_loss(pool: str) -> None:
    """Every token comes twice, side by side, so that half of them may go: the answer is the exact one."""
    model = ViViT(CONFIG, GENERATOR).eval()
    assert model.encoder is not None
    tokens = torch.randn(2, 8, 24, generator=GENERATOR).repeat_interleave(2, dim=1)
    exact = tokens
    for block in model.encoder.blocks:
        exact = block(exact)
    exact = model.encoder.norm(exact)
    wanted = exact.mean(dim=1) if pool == "mean" else exact.sum(dim=1)
    one_block = model.encoder.blocks[1:]
    model.encoder.blocks = model.encoder.blocks[:1]
    model.encoder.norm, norm = torch.nn.Identity(), model.encoder.norm
    before = pool_merged(model.encoder, tokens[:, None], None, 0.5, "mean")[:, 0]
    torch.testing.assert_close(before, model.encoder.blocks[0](tokens).mean(dim=1), rtol=1e-5, atol=1e-5)
    model.encoder.blocks.extend(one_block)
    model.encoder.norm = norm
    # Without sizes in attention or in the mean, this differs in the second digit.
    sizes = torch.full((2, 8), 2.0)
    found = pool_merged(model.encoder, tokens[:, None, ::2], sizes, 0.0, pool)[:, 0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
