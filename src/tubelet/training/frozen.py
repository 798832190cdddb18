"""Model 2 in two halves: pixels to frame vectors, and frame vectors to logits.

Axis letters: N clips, B batch, T tubelets in time, D width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tubelet.data.dataset import Batch
from tubelet.errors import ConfigError
from tubelet.layers.embedding import sinusoidal_1d
from tubelet.models.vivit import ViViT
from tubelet.video.view import View


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Frame vectors `(N, T, D)`, targets `(N, sum(classes))` and numbers of clips, and those not to be read."""

    vectors: Tensor
    targets: Tensor
    indices: tuple[int, ...]
    errors: tuple[tuple[int, str], ...]


@torch.no_grad()
def store(
    model: ViViT,
    view: View,
    loaded: Iterable[Batch],
    clips: int,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Stored:
    """Frame vectors of everything that is loaded, up to so many clips, one view for each, kept in main memory."""
    model.eval()
    # In one piece: many small ones would stand between the large blocks that the model takes and gives back, and
    # keep a C library from putting these together again.
    vectors = torch.empty(clips, model.config.grid[0], model.config.width)
    targets: list[Tensor] = []
    indices: list[int] = []
    errors: list[tuple[int, str]] = []
    for batch in loaded:
        errors.extend(batch.errors)
        if batch.indices:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                found = model.frame_vectors(view.finish(batch.pixels.to(device), batch.colour))
            vectors[len(indices) : len(indices) + len(found)] = found
            targets.append(batch.targets)
            indices.extend(batch.indices)
    return Stored(
        # A copy, where not all could be read or other processes see some: a slice is sent with all that it is of.
        vectors=vectors if len(indices) == clips else vectors[: len(indices)].clone(),
        targets=torch.cat(targets) if targets else torch.empty(0, sum(model.config.classes)),
        indices=tuple(indices),
        errors=tuple(errors),
    )


def joined(parts: Sequence[Stored]) -> Stored:
    """What several processes have stored, as one."""
    if len(parts) == 1:
        return parts[0]
    return Stored(
        vectors=torch.cat([part.vectors for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        indices=tuple(index for part in parts for index in part.indices),
        errors=tuple(error for part in parts for error in part.errors),
    )


def common(draws: Sequence[Stored]) -> list[Stored]:
    """The clips that could be read every time, in order: damage may show in some views of a video only."""
    every = set.intersection(*(set(draw.indices) for draw in draws))
    kept: list[Stored] = []
    for draw in draws:
        order = sorted((index, row) for row, index in enumerate(draw.indices) if index in every)
        rows = torch.tensor([row for _, row in order], dtype=torch.int64)
        indices = tuple(draw.indices[row] for row in rows.tolist())
        kept.append(replace(draw, vectors=draw.vectors[rows], targets=draw.targets[rows], indices=indices))
    return kept


@torch.no_grad()
def calibrate(model: ViViT, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise the frame vectors by the spatial encoder's last norm.

    The pooled vector moves with the norm's scale and offset, so both are set such that `vectors` would have
    had zero mean and unit deviation in every feature; of a model with `centre_frames` unit deviation from the mean
    over their clip. A feature that hardly moves at all is not blown up.

    Args:
        model: Model 2 with a final norm, whose tokens are pooled by `class`, `first` or `mean`; changed in place.
        vectors: its frame vectors over the training clips, `(..., T, D)`.

    Returns:
        The mean and deviation, `(D,)` each, that were taken off.

    Raises:
        ConfigError: if the model has no final norm, or pools by `max` or `sum`.
    """
    assert model.spatial is not None, "only Model 2 has a spatial encoder"
    norm = model.spatial.norm
    if not isinstance(norm, nn.LayerNorm) or model.config.pool in ("max", "sum"):
        raise ConfigError(
            "Frame vectors are calibrated by a final norm before pooling by class token or mean."
        )
    flat = vectors.flatten(0, -2).double()
    mean, std = flat.mean(dim=0), flat.std(dim=0)
    if model.config.centre_frames:
        std = (vectors - vectors.mean(dim=-2, keepdim=True)).flatten(0, -2).double().std(dim=0)
    std = std.clamp(min=0.01 * float(std.mean())).clamp(min=1e-6)
    mean, std = mean.to(norm.weight), std.to(norm.weight)
    norm.weight.div_(std)
    norm.bias.sub_(mean).div_(std)
    return mean, std


@torch.no_grad()
def sine_positions(model: ViViT) -> None:
    """Start the learned temporal positions as sines and cosines (root mean square 0.7), the class token's at 0."""
    assert model.temporal is not None, "checked with the run"
    positions = model.temporal.positions
    assert positions is not None, "checked with the run"
    count, width = positions.table.shape[1:]
    positions.table.zero_()
    positions.table[0, positions.extra :] = sinusoidal_1d(count - positions.extra, width)
