"""The trained models that come with the package."""

from pathlib import Path

from tubelet.classifier import Classifier, load

FOLDER = Path(__file__).parent
NAMES: dict[str, Path] = {"camera-motion": FOLDER / "camera_motion"}
"""Names of the models in the package, and their folders."""


def load_named(name: str | Path) -> Classifier:
    """A model of the package by its name, or any other that `tubelet.load` reads by its path.

    Raises:
        WeightsError: if it cannot be read.
    """
    return load(NAMES.get(str(name), Path(name)))
