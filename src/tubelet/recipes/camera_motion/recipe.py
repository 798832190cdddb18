"""The recipe of the camera-motion model: all that fixes a run."""

import math
from dataclasses import dataclass, field, replace

from tubelet.models.config import ViViTConfig
from tubelet.recipes.camera_motion.generator import Clips
from tubelet.recipes.camera_motion.scoring import CLASSES

MODEL = ViViTConfig(
    attention="joint",
    pool="mean",
    frames=32,
    size=48,
    tubelet=(8, 12, 12),
    width=192,
    depth=4,
    heads=4,
    hidden=384,
    classes=CLASSES,
)
"""Long tubelets: a patch seen over half a second shows its motion to the very first layer."""


@dataclass(frozen=True, kw_only=True)
class CameraMotion:
    """The recipe: all that fixes a run."""

    model: ViViTConfig = MODEL
    clips: Clips = field(default_factory=lambda: Clips(seed=1))
    textures: int = 160
    """Procedural plates beside the photographs."""
    steps: int = 3600
    batch: int = 64
    fresh: int = 12
    """New clips in every step; the others of a batch come from the pool."""
    pool: int = 6144
    learning_rate: float = 7e-4
    warmup: int = 200
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    held_out: int = 512
    """Clips of scenes of their own on which the log's accuracies are measured."""
    seed: int = 1

    def settings(self, index: int) -> Clips:
        """The generator's settings for clip `index`: every clip has a difficulty of its own, drawn towards hard.

        Easy clips show strong moves, often one at a time, in clean pictures.
        """
        hard = math.sqrt(index * GOLDEN % 1)
        return replace(self.clips, easiest=0.4 * (1 - hard), harm=hard, objects=hard, single=0.5 - 0.2 * hard)


GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it fill [0, 1) evenly from the first on."""
