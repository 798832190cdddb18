"""Does everything work here? A run of a minute, on any data."""

from pathlib import Path

from tubelet.data.source import Source
from tubelet.models.config import ViViTConfig
from tubelet.training.config import Optimizer, Train
from tubelet.video.view import View


def smoke(data: Source, out: Path) -> Train:
    """A model too small to learn much, two epochs: reads every clip, and does all that a long run does.

    Args:
        data: any source.
        out: an empty or new folder.
    """
    return Train(
        data=data,
        model=ViViTConfig(
            attention="factorised_encoder",
            frames=8,
            size=32,
            tubelet=(2, 8, 8),
            width=48,
            depth=2,
            heads=3,
            hidden=96,
            temporal_depth=1,
        ),
        view=View(frames=8, uniform=True, size=32, resize=36, value_range=(-1.0, 1.0)),
        out=out,
        epochs=2,
        optimizer=Optimizer(lr=1e-3),
    )
