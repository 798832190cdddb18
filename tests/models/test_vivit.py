"""The architecture itself: who sees whom, and what a model may be put through."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.block import DropPath
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.report import load_strictly

T, H, W = 3, 2, 2
SMALL = ViViTConfig(
    frames=2 * T,
    size=(4 * H, 4 * W),
    tubelet=(2, 4, 4),
    width=24,
    depth=2,
    heads=4,
    hidden=32,
    classes=(3, 2),
)
MODELS = {
    "joint": SMALL,
    "joint, mean": replace(SMALL, pool="mean"),
    "joint, first": replace(SMALL, pool="first"),
    "factorised encoder": replace(SMALL, attention="factorised_encoder", temporal_depth=2),
    "factorised encoder, average": replace(SMALL, attention="factorised_encoder", temporal_depth=0),
    "time, space": replace(SMALL, attention="factorised_self_attention"),
    "space, time": replace(SMALL, attention="factorised_self_attention", order="space_time"),
    "dot product": replace(SMALL, attention="factorised_dot_product"),
}
every_model = pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())


def make(config: ViViTConfig) -> ViViT:
    """A model with random weights everywhere: a new head of zeros would hide everything."""
    model = ViViT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def clip(config: ViViTConfig, batch: int = 2) -> Tensor:
    return torch.randn(batch, config.frames, config.channels, *config.pixels)


def influence(layer: nn.Module, tokens: Tensor) -> Tensor:
    """Which input token changes which output token, by gradient: `(N, N)` of bools, output by input."""
    tokens = tokens.requires_grad_()
    output = layer(tokens).reshape(-1, tokens.shape[-1])
    rows = [torch.autograd.grad(out.sum(), tokens, retain_graph=True)[0] for out in output]
    return torch.stack([row.reshape(-1, tokens.shape[-1]).abs().sum(-1) > 0 for row in rows])


def same_place() -> Tensor:
    s = torch.arange(H * W).repeat(T)
    return s[:, None] == s


def same_frame() -> Tensor:
    t = torch.arange(T).repeat_interleave(H * W)
    return t[:, None] == t


def test_model_1_every_token_sees_every_token() -> None:
    model = make(SMALL)
    assert model.encoder is not None
    assert influence(model.encoder.blocks[0], torch.randn(1, 1 + T * H * W, 24)).all()


def test_model_2_space_first_then_time() -> None:
    model = make(MODELS["factorised encoder"])
    assert model.spatial is not None
    assert model.temporal is not None
    tokens = torch.randn(1, T, H * W, 24)
    assert torch.equal(influence(Stack(model.spatial.blocks), tokens), same_frame())
    assert influence(model.temporal.blocks[0], torch.randn(1, 1 + T, 24)).all()


class Stack(nn.Module):
    """Blocks one after the other."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks.children():
            tokens = block(tokens)
        return tokens


@pytest.mark.parametrize("order", ["time_space", "space_time"])
def test_model_3_time_and_space_in_turn(order: Any) -> None:
    model = make(replace(SMALL, attention="factorised_self_attention", order=order))
    assert model.encoder is not None
    block = model.encoder.blocks[0]
    names = [name for name, _ in block.named_children()]
    assert names == [*order.split("_"), "mlp"]
    tokens = torch.randn(1, T, H * W, 24)
    assert torch.equal(influence(block.get_submodule("time"), tokens), same_place())
    assert torch.equal(influence(block.get_submodule("space"), tokens), same_frame())
    assert influence(block, tokens).all()


def test_model_4_half_the_heads_see_time_and_half_space() -> None:
    model = make(MODELS["dot product"])
    assert model.encoder is not None
    attention = model.encoder.blocks[0].get_submodule("attention")
    tokens = torch.randn(1, T, H * W, 24)
    assert torch.equal(influence(attention, tokens), same_place() | same_frame())
    out = attention.get_submodule("layer.out")
    assert isinstance(out, nn.Linear)
    with torch.no_grad():
        out.weight[:, 12:] = 0  # the second half of the heads
    assert torch.equal(influence(attention, tokens), same_place())


@every_model
def test_every_pixel_counts_and_batch_members_never_meet(config: ViViTConfig) -> None:
    model = make(config)
    video = clip(config, 3).requires_grad_()
    model(video)[1].sum().backward()
    assert video.grad is not None
    assert (video.grad[1] != 0).all()
    assert (video.grad[[0, 2]] == 0).all()
    alone = model(video[1:2])
    torch.testing.assert_close(alone, model(video)[1:2], rtol=1e-5, atol=1e-5)


@every_model
def test_order_of_tubelets_matters(config: ViViTConfig) -> None:
    """But not to the baseline that averages over the frames."""
    model = make(config)
    video = clip(config)
    other = video.unflatten(1, (T, 2)).flip(1).flatten(1, 2)
    assert torch.allclose(model(video), model(other), atol=1e-3) == (config.temporal_depth == 0)


@every_model
def test_eval_is_deterministic_and_training_drops(config: ViViTConfig) -> None:
    model = make(replace(config, dropout=0.2, attention_dropout=0.2, drop_path=0.5))
    video = clip(config)
    assert torch.equal(model(video), model(video))
    model.train()
    assert not torch.allclose(model(video), model(video))


@every_model
def test_features_are_what_the_head_sees(config: ViViTConfig) -> None:
    model = make(replace(config, representation=10))
    video = clip(config)
    features = model.features(video)
    assert features.shape == (2, 10)
    assert torch.equal(model.head(features), model(video))
    assert model(video).shape == (2, 5)


@every_model
def test_other_lengths_and_sizes(config: ViViTConfig) -> None:
    model = make(config)
    own = clip(config)
    assert torch.equal(model(own), model(own))
    assert model(torch.randn(1, 10, 3, 12, 20)).shape == (1, 5)
    for frames, height, width in ((5, 8, 8), (6, 10, 8), (6, 8, 9)):
        with pytest.raises(ConfigError, match="multiple of 2 frames and of 4x4 pixels"):
            model(torch.randn(1, frames, 3, height, width))
    with pytest.raises(ValueError, match="float tensor"):
        model(torch.zeros(1, 6, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="float tensor"):
        model(torch.zeros(6, 3, 8, 8))


@every_model
def test_compiles_whole(config: ViViTConfig) -> None:
    model = make(config)
    video = clip(config)
    expected = model(video)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(video), expected, rtol=1e-4, atol=1e-4)


@every_model
def test_exports_with_a_dynamic_batch(config: ViViTConfig) -> None:
    model = make(config)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (clip(config),), dynamic_shapes=({0: batch},))
    for size in (1, 5):
        video = clip(config, size)
        torch.testing.assert_close(program.module()(video), model(video), rtol=1e-4, atol=1e-4)


@every_model
def test_activation_checkpointing_changes_no_gradient(config: ViViTConfig) -> None:
    model = make(config)
    video = clip(config)
    gradients: list[dict[str, Tensor]] = []
    for enabled in (False, True):
        model.zero_grad()
        model.checkpoint_activations(enabled)
        model(video).square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


@every_model
def test_a_new_model_is_the_same_for_the_same_generator(config: ViViTConfig) -> None:
    states = [ViViT(config, torch.Generator().manual_seed(5)).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert ViViT(config)(clip(config)).abs().max() == 0  # the head starts at zero


def test_stochastic_depth_drops_whole_examples() -> None:
    path = DropPath(0.5).train()
    out = path(torch.ones(1000, 2, 3))
    kept = out.flatten(1)
    assert ((kept == 0).all(1) | (kept == 1).all(1)).all()
    assert 400 < int(kept[:, 0].sum()) < 600
    assert DropPath(0.5, rescale=True).train()(torch.ones(50, 1)).max() == 2
    assert torch.equal(path.eval()(torch.ones(3, 1)), torch.ones(3, 1))


def test_positions_are_resampled_over_the_real_grid() -> None:
    """Twice as many rows: the same place in the middle, the ends unmoved; time and columns untouched."""
    model = make(replace(SMALL, pool="mean"))
    assert model.encoder is not None
    assert model.encoder.positions is not None
    own = model.encoder.positions((T, H, W)).unflatten(1, (T, H, W))
    more = model.encoder.positions((T, 3, W)).unflatten(1, (T, 3, W))
    torch.testing.assert_close(more[:, :, 0], own[:, :, 0])
    torch.testing.assert_close(more[:, :, 2], own[:, :, 1])
    torch.testing.assert_close(more[:, :, 1], own.mean(2))


def test_uniform_frame_sampling_sees_only_its_frames() -> None:
    model = make(replace(SMALL, tubelet=(1, 4, 4), sampled_frames=2))
    video = clip(SMALL, 1).requires_grad_()
    model(video).sum().backward()
    assert video.grad is not None
    assert (video.grad[0].flatten(1).abs().sum(1) > 0).tolist() == [False, False, True, False, True, False]


@every_model
def test_the_one_vector_can_be_normed(config: ViViTConfig) -> None:
    model = ViViT(replace(config, final_norm=False, pooled_norm_eps=1e-6))
    features = model.features(clip(config))
    assert features.mean(dim=-1).abs().max() <= 1e-5
    assert (features.var(dim=-1, correction=0) - 1).abs().max() <= 1e-2


@pytest.mark.parametrize("positions", ["learned", "sinusoidal_1d", "sinusoidal_3d", "none"])
def test_a_hollow_model_is_filled(positions: Any) -> None:
    config = replace(SMALL, positions=positions, pool="mean")
    model, hollow = make(config), ViViT.hollow(config).eval()
    assert all(parameter.is_meta for parameter in hollow.parameters())
    load_strictly(hollow, model.state_dict(), "a file")
    video = clip(config)
    assert torch.equal(hollow(video), model(video))
    assert all(parameter.requires_grad for parameter in hollow.parameters())


TWO = replace(SMALL, attention="factorised_encoder")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"pool": "mean"},
        {"temporal_depth": 0},
        {"representation": 5},
        {"pool": "max"},
        {"centre_frames": True},
    ],
)
def test_model_2_in_two_halves(fields: dict[str, Any]):
    model, video = ViViT(replace(TWO, **fields)).eval(), torch.randn(2, 2 * T, 3, 4 * H, 4 * W)
    vectors = model.frame_vectors(video)
    assert vectors.shape == (2, T, 24)
    torch.testing.assert_close(model.features_of_frames(vectors), model.features(video))


def test_centred_frames_tell_what_changes_alone():
    vectors, still = torch.randn(2, T, 24), torch.randn(2, 1, 24)
    plain, centred = (ViViT(replace(TWO, centre_frames=centre)).eval() for centre in (False, True))
    centred.load_state_dict(plain.state_dict())  # no parameter of its own
    torch.testing.assert_close(
        centred.features_of_frames(vectors + still), centred.features_of_frames(vectors)
    )
    middle = vectors - vectors.mean(1, keepdim=True)
    torch.testing.assert_close(centred.features_of_frames(vectors), plain.features_of_frames(middle))
    assert not torch.allclose(plain.features_of_frames(vectors + still), plain.features_of_frames(vectors))


@every_model
@pytest.mark.parametrize("checkpointing", [False, True])
def test_tokens_that_nobody_reads_are_not_computed(config: ViViTConfig, checkpointing: bool) -> None:
    """The answer and all gradients are those of every token; how many the last MLP is given says what was done."""
    model, video = make(config).double(), clip(config).double()
    model.checkpoint_activations(checkpointing)
    last = model.encoder or model.temporal or model.spatial
    assert last is not None
    given: list[int] = []
    last.blocks[-1].get_submodule("mlp").register_forward_hook(
        lambda module, inputs, output: given.append(inputs[0].shape[:-1].numel())
    )
    found = {}
    for every in (True, False):
        model.zero_grad()
        logits = model(video, every_token=every)
        logits.square().sum().backward()
        found[every] = logits, [parameter.grad for parameter in model.parameters()]
    torch.testing.assert_close(found[False], found[True], rtol=1e-9, atol=1e-9)
    frames = T if last is model.spatial else 1
    first_is_read = (config.pool or "class") in ("class", "first") and not last.split
    assert given[-1] == (2 * frames if first_is_read else given[0])
    assert (given[-1] < given[0]) == first_is_read
