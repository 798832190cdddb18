"""Answering from fewer tokens, without training: `FewerTokens`, and how Models 1 and 2 do it.

Letters as in `vivit.py`; P values of a tubelet.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.layers.embedding import Grid, TubeletEmbedding
from tubelet.layers.encoder import BY_PLACE, Encoder, pool_tokens
from tubelet.layers.merging import pool_merged
from tubelet.layers.static import embed_kept, find_runs, shared_frames, standing
from tubelet.models.config import ViViTConfig


@dataclass(frozen=True, kw_only=True)
class FewerTokens:
    """What a model may leave out. It then answers otherwise than it was trained to: measure what that costs.

    Raises:
        ConfigError: for what cannot be.
    """

    merge: float = 0.0
    """Share of the tokens of a block that become one with their likest, in every block: 0 to 0.5. In Model 2 within
    the spatial encoder, at the same places in all frames of a clip. Bolya et al. 2023, arXiv 2210.09461."""
    drop: float | None = None
    """Tubelets are not computed that differ by no more than this from the last one computed at their place: the mean
    absolute difference of the values as the model sees them, after `View.normalise`. 0 leaves out only repetitions.
    Choudhury et al. 2024, arXiv 2411.05222. None: all are computed."""
    drop_frames: float | None = None
    """Model 2: times at which the whole grid differs by no more than this from the last one that was computed have
    its frame vector; measured as for `drop`. 0 leaves out only repetitions, and the answer is the exact one, but for
    int8's rounding."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0 <= self.merge <= 0.5:
            raise ConfigError(f"merge={self.merge} is not a share from 0 to 0.5 of the tokens of a block.")
        for name, limit in (("drop", self.drop), ("drop_frames", self.drop_frames)):
            if limit is not None and not limit >= 0:
                raise ConfigError(f"{name}={limit} is not a difference of 0 or more.")
        if self.merge == 0 and self.drop is None and self.drop_frames is None:
            raise ConfigError(
                "None of merge, drop and drop_frames is given, so no token is left out: give one."
            )

    @classmethod
    def completed(cls, stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """All fields of settings that were stored when there were fewer fields; None stays None.

        Raises:
            ConfigError: for what cannot be.
        """
        return None if stored is None else asdict(cls(**stored))

    def check(self, config: ViViTConfig) -> None:
        """Refuse a model that cannot do it.

        Raises:
            ConfigError: saying why.
        """
        if config.attention not in ("joint", "factorised_encoder"):
            raise ConfigError(
                "Fewer tokens are for Models 1 and 2; Models 3 and 4 attend over time and space apart, and need "
                f"every token of the grid: attention is {config.attention!r}."
            )
        if config.attention == "joint":
            if self.drop_frames is not None:
                raise ConfigError(
                    "drop_frames is for Model 2, whose frames become vectors one by one; Model 1 takes drop."
                )
        elif bool(self.merge) + (self.drop is not None) + (self.drop_frames is not None) > 1:
            raise ConfigError(
                "Model 2 takes one of merge, drop and drop_frames: static tubelets are shared by frames whose tokens "
                "would be merged otherwise in each."
            )


def joint_vector(
    settings: FewerTokens, embedding: TubeletEmbedding, encoder: Encoder, tubelets: Tensor, pool: str
) -> Tensor:
    """Model 1 from fewer tokens: tubelets `(B, T, H, W, P)` to the vector before the head's norm, `(B, D)`.

    A tubelet that others stand still behind has the size of its run. Examples that drop run one by one, since each
    keeps another number of tokens.
    """
    check_answering(encoder)
    grid = grid_of(tubelets)
    if settings.drop is None:
        tokens = encoder.placed(embedding.project(tubelets).flatten(1, 3), grid)
        return pool_merged(encoder, tokens[:, None], None, settings.merge, pool)[:, 0]
    runs = find_runs(tubelets, settings.drop)
    kept, lengths = runs.kept.flatten(1), runs.lengths.flatten(1)
    tokens = encoder.placed(embed_kept(embedding, tubelets, runs.kept).flatten(1, 2), grid)
    extra = tokens.shape[1] - kept.shape[1]
    kept = torch.cat((kept.new_ones(len(kept), extra), kept), dim=1)
    lengths = torch.cat((lengths.new_ones(len(kept), extra), lengths), dim=1)
    vectors = [
        pool_merged(encoder, one[chosen][None, None], length[chosen][None], settings.merge, pool)[:, 0]
        for one, chosen, length in zip(tokens, kept, lengths, strict=True)
    ]
    return torch.cat(vectors)


def frame_vectors(
    settings: FewerTokens, embedding: TubeletEmbedding, encoder: Encoder, tubelets: Tensor, pool: str
) -> Tensor:
    """Model 2 from fewer tokens: tubelets `(B, T, H, W, P)` to the frame vectors `(B, T, D)`."""
    check_answering(encoder)
    grid = grid_of(tubelets)
    if settings.drop_frames is not None:
        runs = find_runs(tubelets.flatten(2)[:, :, None, None], settings.drop_frames)
        tokens = embedding.project(tubelets[runs.kept[..., 0]]).flatten(1, 2)  # (M, S, D)
        vectors = encoder(tokens[:, None], (1, *grid[1:]), pool in BY_PLACE)
        return pool_tokens(vectors, pool)[standing(runs.kept, runs.begun)[..., 0], 0]
    if settings.drop is None:
        tokens = encoder.placed(embedding.project(tubelets).flatten(2, 3), (1, *grid[1:]))
        return pool_merged(encoder, tokens, None, settings.merge, pool)
    runs = find_runs(tubelets, settings.drop)
    tokens = encoder.placed(embed_kept(embedding, tubelets, runs.kept), (1, *grid[1:]))
    return pool_tokens(shared_frames(encoder, tokens, runs, pool in BY_PLACE), pool)


def grid_of(tubelets: Tensor) -> Grid:
    """Number of tubelets along time, height and width."""
    return tubelets.shape[1], tubelets.shape[2], tubelets.shape[3]


def check_answering(encoder: Encoder) -> None:
    """Refuse to train so.

    Raises:
        ValueError: in training mode.
    """
    if encoder.training:
        raise ValueError(
            "Fewer tokens are for answering, not for training: set the model's fewer_tokens to None."
        )
