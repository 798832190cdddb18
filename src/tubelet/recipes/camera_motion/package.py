"""From a finished run to a `Classifier`: weights, how the model looks at a video, what its outputs mean."""

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file

from tubelet.classifier import Classifier
from tubelet.labels import Head, Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion.generator import Clips
from tubelet.recipes.camera_motion.moves import HEADS
from tubelet.video.view import View

LABELS = Labels(tuple(Head(name, classes) for name, classes in HEADS.items()))


def view_of(clips: Clips) -> View:
    """How a model that was trained on these clips looks at a video: window after window, the whole frame."""
    return View(
        frames=clips.frames,
        frames_per_second=clips.frames / clips.duration_seconds,
        size=clips.side,
        fit="squash",
        interpolation="antialiased_bilinear",
        value_range=(-1.0, 1.0),
        answers="window",
        short="hold",
    )


def read_run(folder: Path) -> Classifier:
    """The classifier of a run that `train` finished in `folder`."""
    config = ViViTConfig.from_dict(json.loads((folder / "config.json").read_text()))
    model = ViViT(config)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return Classifier(
        model.eval(), view_of(Clips(seed=0, frames=config.frames, side=config.pixels[0])), LABELS
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("out", type=Path, help="folder of the classifier")
    arguments = parser.parse_args()
    read_run(arguments.run).save(arguments.out)


if __name__ == "__main__":
    main()
