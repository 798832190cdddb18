"""Hundreds or thousands of clips and a pretrained model: what is new learns first, then the rest."""

from dataclasses import replace
from pathlib import Path

from tubelet.data.source import Source
from tubelet.loading import open_source
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

    Model 2 (and an image ViT, which becomes Model 2 with two temporal blocks) first learns its temporal encoder and
    head on stored frame vectors, in seconds an epoch; of other models the head learns first. Then the last two blocks
    join, then all. Where the classes are motions, ask for `centre_frames` (`--model.centre-frames`);
    docs/small-data.md has the evidence.

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
    image = open_source(init).image
    model = replace(run.model, temporal_depth=2) if image else run.model
    two = model.attention == "factorised_encoder" and bool(model.resolved().temporal_depth)
    frozen = Frozen(  # what a ViViT has learned of time is kept
        epochs=40,
        draws=8,
        calibrate=image,
        sine_positions=image,
        optimizer=Optimizer(lr=3e-3 if image else 3e-4),
    )
    partial = Partial(
        blocks=min(2, model.depth) if two else 0,
        epochs=2,
        optimizer=Optimizer(lr=5e-4 if two else 1e-3, backbone_lr_scale=0.2 if two else 1.0),
    )
    return replace(
        run,
        model=model,
        frozen=frozen if two else None,
        partial=partial,
        epochs=6,
        optimizer=Optimizer(lr=5e-4 if two else 1e-4, backbone_lr_scale=0.2, layer_decay=0.75),
    )
