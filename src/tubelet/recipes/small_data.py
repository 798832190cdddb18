"""Hundreds or thousands of clips and a pretrained model: what is new learns first, then the rest."""

from dataclasses import replace
from pathlib import Path

from tubelet.data.source import Source
from tubelet.recipes.folder import folder
from tubelet.training.config import Frozen, Optimizer, Partial, Train


def small_data(
    data: Source,
    out: Path,
    init: Path,
    *,
    blocks: int | None = None,
    frames: int = 16,
    size: int | tuple[int, int] = 112,
    region: tuple[float, float, float, float] | None = None,
    stride: int | None = None,
) -> Train:
    """Frozen, then partial, then full, with lower rates towards the pixels.

    Model 2 (and an image ViT, which becomes Model 2) first learns its temporal encoder and head on stored frame
    vectors, in seconds an epoch; of other models the head learns first. Then the last two blocks join, then all.

    Args:
        data: `Folders(root=...)`, `Table(file=...)`, or any other source.
        out: an empty or new folder.
        init: weights to start from, of an image ViT or of a ViViT (see `tubelet.start_from`).
        blocks: keep only the first blocks of the (spatial) encoder; see `folder`.
        frames: frames of a clip.
        size: pixels of a frame: the side of a square, or (height, width).
        region: the part of the frame to look at: (top, left, bottom, right) in fractions.
        stride: take every `stride`-th frame; None: spread the frames evenly over the clip.
    """
    run = folder(data, out, init=init, blocks=blocks, frames=frames, size=size, region=region, stride=stride)
    two = run.model.attention == "factorised_encoder" and bool(run.model.resolved().temporal_depth)
    return replace(
        run,
        frozen=Frozen(epochs=30, sine_positions=run.model.positions == "learned") if two else None,
        partial=Partial(
            blocks=min(2, run.model.depth) if two else 0,
            epochs=5,
            optimizer=Optimizer(lr=1e-4 if two else 1e-3, backbone_lr_scale=0.1 if two else 1.0),
        ),
        epochs=10,
        optimizer=Optimizer(lr=1e-4, backbone_lr_scale=0.1, layer_decay=0.75),
    )
