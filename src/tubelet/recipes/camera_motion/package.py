"""From a finished run to a `Classifier`: weights, how the model looks at a video, what its outputs mean."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
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


def read_run(folder: Path, heads: Sequence[str] = tuple(HEADS)) -> Classifier:
    """The classifier of a run that `train` finished in `folder`, with some of its heads.

    Raises:
        KeyError: for a head that there is not.
    """
    config = ViViTConfig.from_dict(json.loads((folder / "config.json").read_text()))
    labels = Labels(tuple(LABELS.head(name) for name in heads))
    model = ViViT(replace(config, classes=labels.classes))
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    for name in ("head.weight", "head.bias"):  # rows are classes, in the order of `HEADS`
        parts = dict(zip(HEADS, weights[name].split(list(LABELS.classes)), strict=True))
        weights[name] = torch.cat([parts[head] for head in heads])
    model.load_state_dict(weights)
    return Classifier(
        model.eval(), view_of(Clips(seed=0, frames=config.frames, side=config.pixels[0])), labels
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("out", type=Path, help="folder of the classifier")
    parser.add_argument("--heads", nargs="+", default=list(HEADS), choices=list(HEADS), help="those to keep")
    arguments = parser.parse_args()
    # Half precision halves the file and changes no answer.
    read_run(arguments.run, arguments.heads).to(dtype=torch.float16).save(arguments.out)


if __name__ == "__main__":
    main()
