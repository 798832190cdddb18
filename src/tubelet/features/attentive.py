"""Attentive probes: one query that looks at the tokens of a video, and a linear layer on what it finds.

As the pooling of CoCa (Yu et al. 2022, arXiv 2205.01917, section 3.2) and the probes of V-JEPA (Bardes et al. 2024,
arXiv 2404.08471, section 3.3), with one layer of cross-attention. B batch, N tokens, D width, C classes.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tubelet.features.linear import Scale, mean_loss
from tubelet.labels import Kind

EPOCHS = 30
BATCH = 32
RATE = 1e-3
DECAY = 0.01
HEAD_DIM = 64


class AttentiveProbe(nn.Module):
    """Tokens to logits.

    Args:
        width: D.
        classes: C.
        scale: of the tokens to learn from.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, classes: int, scale: Scale) -> None:
        super().__init__()
        heads = max(count for count in range(1, max(width // HEAD_DIM, 1) + 1) if width % count == 0)
        self.register_buffer("mean", scale.mean)
        self.register_buffer("deviation", scale.deviation)
        self.query = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, N, D)`, in any precision, to `(B, C)`."""
        tokens = (tokens.float() - self.mean) / self.deviation
        found, _ = self.attention(self.query.expand(len(tokens), -1, -1), tokens, tokens, need_weights=False)
        return self.head(self.norm(found[:, 0]))


def fit_attentive(
    tokens: Tensor,
    targets: Tensor,
    choosing: tuple[Tensor, Tensor],
    kind: Kind,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[AttentiveProbe, int, float]:
    """Learn a probe by AdamW on a cosine; the epoch with the least loss on the tokens that choose is kept.

    Args:
        tokens: `(N, tokens, D)`.
        targets: 0 or 1, `(N, C)`.
        choosing: tokens and targets that choose.
        kind: of the head.
        epochs: how often it sees every video.
        seed: of the first weights and of the order.
        advance: called after each epoch.

    Returns:
        The probe, its epoch counted from 1, and its loss on the tokens that choose.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probe = AttentiveProbe(tokens.shape[-1], targets.shape[1], scale_of(tokens)).to(tokens.device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * math.ceil(len(tokens) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    best, epoch, least = copy.deepcopy(probe), 0, math.inf
    for number in range(1, epochs + 1):
        probe.train()
        for batch in torch.randperm(len(tokens), generator=generator).split(BATCH):
            optimizer.zero_grad()
            with torch.enable_grad():
                mean_loss(probe(tokens[batch]), targets[batch], kind).backward()
            optimizer.step()
            schedule.step()
        loss = float(mean_loss(attentive_logits(probe, choosing[0]), choosing[1], kind))
        if loss < least:
            best, epoch, least = copy.deepcopy(probe), number, loss
        advance()
    return best.eval(), epoch, least


@torch.inference_mode()
def attentive_logits(probe: AttentiveProbe, tokens: Tensor) -> Tensor:
    """Logits of tokens `(N, tokens, D)`: `(N, C)`."""
    probe.eval()
    return torch.cat([probe(part) for part in tokens.split(BATCH)])


def scale_of(tokens: Tensor) -> Scale:
    """The scale of all tokens, in float32, some at a time: a file of float16 is not brought into memory twice."""
    parts = tokens.split(1024)
    count = tokens.shape[0] * tokens.shape[1]
    mean = torch.stack([part.double().sum(dim=(0, 1)) for part in parts]).sum(dim=0) / count
    spread = torch.stack([(part.double() - mean).square().sum(dim=(0, 1)) for part in parts]).sum(dim=0)
    deviation = (spread / count).sqrt()
    return Scale(mean=mean.float(), deviation=torch.where(deviation > 1e-6, deviation, 1.0).float())
