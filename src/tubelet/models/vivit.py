"""The four models of "ViViT: A Video Vision Transformer" (Arnab et al. 2021, section 3).

Axis letters: B batch, F frames, C channels, T H W the grid of tubelets, S = H*W, N tokens, D width.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn

from tubelet.layers.attention import Attention
from tubelet.layers.block import MLP, Block, Branch, DropPath
from tubelet.layers.embedding import Grid, Positions, TubeletEmbedding, uniform_frames
from tubelet.layers.encoder import BY_PLACE, Encoder, pool_tokens
from tubelet.models.config import ViViTConfig
from tubelet.models.fewer_tokens import FewerTokens, frame_vectors, joint_vector


class ViViT(nn.Module):
    """A Video Vision Transformer: one of the paper's four models, as its config says.

    A new model is initialised as the official code initialises one from scratch: its head is zero, so its
    first logits are zero.

    Args:
        config: the architecture. Kept, with every default written out, as `.config`.
        generator: source of the initial weights; None uses torch's own.
    """

    def __init__(self, config: ViViTConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config = config.resolved()
        grid = config.grid
        self.embedding = TubeletEmbedding(config.channels, config.tubelet, config.width)
        self.spatial = self.temporal = self.encoder = None
        if config.attention == "factorised_encoder":
            self.spatial = build_encoder(config, (1, *grid[1:]), axes=(2,))
            if config.temporal_depth:
                self.temporal = build_encoder(config, (grid[0], 1, 1), axes=(1,), temporal=True)
        else:
            axes = (1,) if config.attention == "joint" else (1, 2)
            self.encoder = build_encoder(config, grid, axes)
        eps = config.pooled_norm_eps
        self.pooled_norm = None if eps is None else nn.LayerNorm(config.width, eps=eps)
        size = config.representation or config.width
        self.representation = nn.Linear(config.width, size) if config.representation else None
        self.head = nn.Linear(size, sum(config.classes))
        self.fewer_tokens: FewerTokens | None = None
        # On the meta device drawing has no effect but to import much of PyTorch's compiler.
        if not self.head.weight.is_meta:
            initialise(self, generator)

    @classmethod
    def hollow(cls, config: ViViTConfig) -> Self:
        """A model whose parameters have shapes and no numbers yet, for those of a file to be put in.

        Nothing is allocated, and nothing drawn only to be overwritten.
        """
        with torch.device("meta"):
            return cls(config)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the clips that it takes."""
        return self.embedding.weight.dtype

    def forward(self, video: Tensor, every_token: bool = False) -> Tensor:
        """Logits of a batch of clips, the heads concatenated in the order of `config.classes`.

        Args:
            video: float `(B, F, C, H, W)`, of the config's own frames and size or any other that the tubelet
                divides (positions are then resampled linearly over the grid).
            every_token: where the first token alone is read, the last block computes the others only as far as that
                one sees them. With this it computes all, for hooks that read them; the answer is the same, but for
                int8's rounding. It changes nothing where `answer_from` leaves tokens out.

        Returns:
            `(B, sum(classes))`.

        Raises:
            ConfigError: if the tubelet does not divide the clip.
            ValueError: if the video is not of this form.
        """
        return self.head(self.features(video, every_token))

    def features(self, video: Tensor, every_token: bool = False) -> Tensor:
        """What the head sees: `(B, D)`, or `(B, representation)`. Takes what `forward` takes."""
        if self.encoder is None:
            return self.features_of_frames(self.frame_vectors(video, every_token), every_token)
        pool = self.config.pool or "class"
        if self.fewer_tokens is not None:
            tubelets = self.embedding.cut(self.shown(video))
            return self._finished(
                joint_vector(self.fewer_tokens, self.embedding, self.encoder, tubelets, pool)
            )
        tokens = self.embed(video)
        grid: Grid = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
        return self._finished(encode(self.encoder, tokens.flatten(1, 3), grid, pool, every_token))

    def frame_vectors(self, video: Tensor, every_token: bool = False) -> Tensor:
        """Model 2: what the spatial encoder says of each tubelet in time, `(B, F, C, H, W)` to `(B, T, D)`."""
        assert self.spatial is not None, "only Model 2 has a spatial encoder"
        pool = self.config.pool or "class"
        if self.fewer_tokens is not None:
            tubelets = self.embedding.cut(self.shown(video))
            return frame_vectors(self.fewer_tokens, self.embedding, self.spatial, tubelets, pool)
        tokens = self.embed(video)
        grid = (1, tokens.shape[2], tokens.shape[3])
        return encode(self.spatial, tokens.flatten(2, 3), grid, pool, every_token)

    def features_of_frames(self, vectors: Tensor, every_token: bool = False) -> Tensor:
        """Model 2: the rest of `features`, of frame vectors `(B, T, D)`."""
        if self.config.centre_frames:
            vectors = vectors - vectors.mean(dim=1, keepdim=True)
        if self.temporal is None:
            return self._finished(vectors.mean(dim=1))
        grid = (vectors.shape[1], 1, 1)
        return self._finished(encode(self.temporal, vectors, grid, self.config.pool or "class", every_token))

    def _finished(self, vector: Tensor) -> Tensor:
        if self.pooled_norm is not None:
            vector = self.pooled_norm(vector)
        return vector if self.representation is None else self.representation(vector).tanh()

    def embed(self, video: Tensor) -> Tensor:
        """Tokens before class token and positions: `(B, F, C, H, W)` to `(B, T, H, W, D)`."""
        return self.embedding(self.shown(video))

    def shown(self, video: Tensor) -> Tensor:
        """The frames that are embedded, of a video that the model can take: `(B, F, C, H, W)` to the same."""
        config = self.config
        if video.ndim != 5 or video.shape[2] != config.channels or not video.is_floating_point():
            raise ValueError(
                f"A video is a float tensor (batch, frames, {config.channels}, height, width); "
                f"this one is {video.dtype} {tuple(video.shape)}."
            )
        frames, _, height, width = video.shape[1:]
        config.grid_of(frames, height, width)  # refuses what the tubelet does not divide
        if config.sampled_frames is None:
            return video
        return video[:, uniform_frames(frames, config.sampled_frames, config.frame_sampling == "official")]

    def answer_from(self, fewer_tokens: FewerTokens | None) -> None:
        """Answer from fewer tokens than there are, or (None) from all of them again. Models 1 and 2.

        Raises:
            ConfigError: if this model cannot.
        """
        if fewer_tokens is not None:
            fewer_tokens.check(self.config)
        self.fewer_tokens = fewer_tokens

    def checkpoint_activations(self, enabled: bool = True) -> None:
        """Keep only each block's input for the backward pass and compute the rest again: less memory.

        On a CPU still less with `tubelet.layers.heap.give_back_large_blocks`, as trainings do it.
        """
        for encoder in (self.encoder, self.spatial, self.temporal):
            if encoder is not None:
                encoder.checkpointing = enabled


def encode(encoder: Encoder, tokens: Tensor, grid: Grid, pool: str, every_token: bool) -> Tensor:
    """One vector of all tokens: `(B, ..., N, D)` to `(B, ..., D)`."""
    return pool_tokens(encoder(tokens, grid, pool in BY_PLACE and not every_token), pool)


def build_encoder(config: ViViTConfig, grid: Grid, axes: tuple[int, ...], temporal: bool = False) -> Encoder:
    """The encoder of a config; in Model 2 the spatial one, or the `temporal` one.

    `axes` are the axes along which its tokens attend: Models 3 and 4 see their tokens as (T, S).
    """
    depth = (config.temporal_depth or 0) if temporal else config.depth
    blocks = (
        build_block(config, axes, config.drop_path * i / max(depth - 1, 1), temporal) for i in range(depth)
    )
    class_token = config.has_class_token
    return Encoder(
        blocks,
        None
        if config.positions == "none"
        else Positions(config.positions, grid, int(class_token), config.width),
        config.width if class_token else None,
        nn.LayerNorm(config.width, eps=config.norm_eps) if config.final_norm else nn.Identity(),
        config.dropout,
        split=len(axes) == 2,
    )


def build_block(config: ViViTConfig, axes: tuple[int, ...], drop_path: float, temporal: bool) -> Block:
    """One block: attention then MLP, or in Model 3 attention over time, over space (in its order), then MLP."""
    heads = (temporal and config.temporal_heads) or config.heads
    hidden = (temporal and config.temporal_hidden) or config.hidden
    head_dim = config.head_dim or config.width // heads

    def branch(layer: nn.Module) -> Branch:
        path = DropPath(drop_path, config.drop_path_rescale)
        return Branch(layer, config.width, config.norm_eps, config.dropout, path)

    def attention(*over: int) -> Branch:
        return branch(
            Attention(config.width, heads, head_dim, over, config.qkv_bias, config.attention_dropout)
        )

    mlp = branch(MLP(config.width, hidden, config.activation, config.dropout))
    if config.attention != "factorised_self_attention":
        return Block({"attention": attention(*axes), "mlp": mlp})
    time, space = {"time": attention(1)}, {"space": attention(2)}
    first, second = (time, space) if config.order == "time_space" else (space, time)
    return Block({**first, **second, "mlp": mlp})


@torch.no_grad()
def initialise(model: ViViT, generator: torch.Generator | None = None) -> None:
    """The official initial weights: Xavier-uniform layers, positions N(0, 0.02), zero class tokens and head."""
    for module in model.modules():
        if isinstance(module, Attention | MLP):
            for layer in module.children():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight, generator=generator)
                    if isinstance(module, MLP):
                        nn.init.normal_(layer.bias, std=1e-6, generator=generator)
                    elif layer.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                        nn.init.zeros_(layer.bias)
        elif isinstance(module, Positions) and module.learned:
            nn.init.normal_(module.table, std=0.02, generator=generator)
    lecun_normal(model.embedding.weight, generator)
    if model.representation is not None:
        lecun_normal(model.representation.weight, generator)
        nn.init.zeros_(model.representation.bias)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)


def lecun_normal(weight: Tensor, generator: torch.Generator | None) -> None:
    """Normal of variance 1 / fan-in, cut at two deviations (whose variance the factor restores)."""
    std = 1 / math.sqrt(weight[0].numel()) / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
