"""Maps: equal to products of whole matrices, and on the place that carries the label."""

import pytest
import torch
from torch import Tensor

from tests.explanation.truth import log_odds, marked_clips, random_model, tiny, trained_model
from tubelet.explanation import maps
from tubelet.explanation.maps import gradient_map, rollout
from tubelet.explanation.trace import trace
from tubelet.layers import attention
from tubelet.models.vivit import ViViT

KINDS = [
    ("joint", "class"),
    ("joint", "mean"),
    ("factorised_encoder", "class"),
    ("factorised_encoder", "mean"),
    ("factorised_self_attention", "mean"),
    ("factorised_dot_product", "mean"),
]


def weights_of(
    model: ViViT, clips: Tensor, classes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, Tensor, Tensor]]:
    """Axis, attention weights `(B', H, N, N)` and their gradients, in the order in which they are computed."""
    kept: list[tuple[int, Tensor]] = []

    def attend(query: Tensor, key: Tensor, value: Tensor, axis: int, dropout: float = 0.0) -> Tensor:
        query, key, value = (x.movedim(axis, -3) for x in (query, key, value))
        folded = query.shape[:-3]
        query, key, value = (x.flatten(0, -4).transpose(1, 2) for x in (query, key, value))
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)
        kept.append((axis, weights))
        return (weights @ value).transpose(1, 2).unflatten(0, folded).movedim(-3, axis)

    with monkeypatch.context() as patch:
        patch.setattr(attention, "attend", attend)
        answer = log_odds(classes)(model(clips)).sum()
    found = torch.autograd.grad(answer, [weights for _, weights in kept])
    return [(axis, w.detach(), g) for (axis, w), g in zip(kept, found, strict=True)]


def whole(axis: int, weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Weights along an axis of (T, S), summed over heads, as a matrix of all tokens: `(B, T*S, T*S)`."""
    times, places = grid
    summed = weights.sum(dim=1)
    if axis == 1:
        matrix = torch.einsum("bstu,sr->btsur", summed.unflatten(0, (-1, places)), torch.eye(places))
    else:
        matrix = torch.einsum("btsr,tu->btsur", summed.unflatten(0, (-1, times)), torch.eye(times))
    return matrix.flatten(3, 4).flatten(1, 2)


def expected(model: ViViT, layers: list[tuple[int, Tensor, Tensor]], weighted: bool) -> Tensor:
    """The map of a model by products of whole matrices: `(B, T*H*W)`, each clip's sum 1."""
    heads, config = model.config.heads, model.config
    used = [(axis, (w * g).abs() if weighted else w) for axis, w, g in layers]

    def product(matrices: list[Tensor]) -> Tensor:
        one = torch.eye(matrices[0].shape[-1])
        total = one
        for matrix in matrices:
            total = (one + matrix if weighted else (one + matrix) / 2) @ total
        return total - one if weighted else total

    def row(total: Tensor) -> Tensor:
        if config.pool == "class":
            return total[..., 0, 1:]
        return total.mean(dim=-2)

    if config.attention == "joint":
        relevance = row(product([w.mean(dim=1) for _, w in used]))
    elif config.attention == "factorised_encoder":
        inside = row(product([w.mean(dim=1) for _, w in used[: config.depth]])).unflatten(0, (-1, 4))
        relevance = (
            row(product([w.mean(dim=1) for _, w in used[config.depth :]]))[..., None] * inside
        ).flatten(1)
    else:
        matrices = [whole(axis, w, (4, 16)) / heads for axis, w in used]
        if config.attention == "factorised_dot_product":  # half of the heads over time, half over space
            matrices = [a + b for a, b in zip(matrices[::2], matrices[1::2], strict=True)]
        relevance = row(product(matrices))
    return relevance / relevance.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(("attends", "pool"), KINDS)
def test_maps_are_those_of_whole_matrices(attends: str, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(tiny(attends, pool))
    clips, classes, _ = marked_clips(2, torch.Generator().manual_seed(3))
    layers = weights_of(model, clips, classes, monkeypatch)
    traced = trace(model, clips, log_odds(classes))
    torch.testing.assert_close(traced.logits, model(clips).detach())
    torch.testing.assert_close(rollout(traced).flatten(1), expected(model, layers, False))
    torch.testing.assert_close(gradient_map(traced).flatten(1), expected(model, layers, True))
    monkeypatch.setattr(maps, "QUERY_VALUES", 1)  # one query at a time
    torch.testing.assert_close(gradient_map(traced).flatten(1), expected(model, layers, True))


@pytest.mark.parametrize(("attends", "pool"), [KINDS[0], *KINDS[3:]])
def test_the_map_points_at_what_carries_the_label(attends: str, pool: str) -> None:
    config = tiny(attends, pool)
    model = trained_model(config)
    clips, truth, places = marked_clips(100, torch.Generator().manual_seed(9))
    assert (model(clips).argmax(dim=1) == truth).float().mean() > 0.95

    def pointed(of: ViViT, weighted: bool) -> tuple[float, float]:
        found = (gradient_map if weighted else rollout)(trace(of, clips, log_odds(truth))).flatten(1)
        hit = (found.argmax(dim=1) == places).float().mean()
        return float(hit), float(found.gather(1, places[:, None]).mean())

    for weighted, least, share in ((True, 0.6, 0.06), (False, 0.75, 0.05)):
        hits, mass = pointed(model, weighted)
        assert hits > least, f"pointing game {hits}"
        assert mass > share, f"share of the map {mass}"  # of 64 places one has 0.016 by chance
        hits, mass = pointed(random_model(config), weighted)
        assert hits < 0.15
        assert mass < 0.06


def test_an_answer_that_depends_on_nothing_has_an_empty_map() -> None:
    model = random_model(tiny("joint", "class"))
    torch.nn.init.zeros_(model.head.weight)
    clips, truth, _ = marked_clips(2, torch.Generator().manual_seed(9))
    assert float(gradient_map(trace(model, clips, log_odds(truth))).abs().max()) == 0


def test_hooks_are_gone_afterwards() -> None:
    model = random_model(tiny("joint", "class"))
    clips, truth, _ = marked_clips(1, torch.Generator().manual_seed(9))
    trace(model, clips, log_odds(truth))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
