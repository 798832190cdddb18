"""What a model costs: parameters, multiply-adds, tokens, activation memory; counted, not guessed.

The model is run on tensors that have a shape and no numbers, so nothing is allocated or computed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tubelet.layers.embedding import Grid
from tubelet.models.config import ViViTConfig
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.models.vivit import ViViT


@dataclass(frozen=True)
class Cost:
    """The cost of one clip. Paper: Table 2a (its GFLOPs count a multiply-add as one, and elementwise work too)."""

    parameters: int
    macs: int
    """Multiply-adds of all matrix products of the exact model, those of tokens that nothing reads included."""
    computed_macs: int
    """Those that are computed for an answer."""
    tokens: Grid
    """Tubelets along time, height and width."""
    training_bytes: int
    """What the backward pass of one clip keeps in float32, with fused attention (no N x N matrices)."""


def count_cost(config: ViViTConfig, fewer_tokens: FewerTokens | None = None) -> Cost:
    """The cost of a model at its own frames and size.

    `fewer_tokens` lowers `computed_macs` by what is merged; what is dropped depends on the video, and counts.
    """
    with torch.device("meta"):
        model = ViViT(config).eval()
        video = torch.empty(1, config.frames, config.channels, *config.pixels)

    def count(every_token: bool) -> int:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            model(video, every_token)
        return counter.get_total_flops() // 2

    parameters = sum(p.numel() for p in model.parameters())
    macs = count(every_token=True)
    if fewer_tokens is not None and fewer_tokens.merge:
        model.answer_from(FewerTokens(merge=fewer_tokens.merge))
    return Cost(parameters, macs, count(every_token=False), config.grid, saved_bytes(config))


def saved_bytes(config: ViViTConfig) -> int:
    """Bytes that autograd keeps for the backward pass of one clip, each storage once, parameters left out."""
    with torch.device("meta"):
        model = ViViT(config)
    kept: dict[int, torch.UntypedStorage] = {}  # by identity; held, else a freed one's could come again

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage
        return tensor

    with FakeTensorMode():  # a shape and a device each, no numbers
        everything = (*model.named_parameters(), *model.named_buffers())
        state = {name: torch.empty(t.shape, requires_grad=t.requires_grad) for name, t in everything}
        video = torch.empty(1, config.frames, config.channels, *config.pixels)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            functional_call(model, state, video)
    own = {id(t.untyped_storage()) for t in state.values()}
    return sum(storage.nbytes() for key, storage in kept.items() if key not in own)
