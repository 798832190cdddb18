"""Tubelet: the PyTorch home of ViViT, the Video Vision Transformer.

Names are imported when they are first used, so that the command line starts without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tubelet.classifier import Classifier as Classifier
    from tubelet.errors import ConfigError as ConfigError
    from tubelet.errors import DataError as DataError
    from tubelet.errors import DecodeError as DecodeError
    from tubelet.errors import TubeletError as TubeletError
    from tubelet.errors import WeightsError as WeightsError
    from tubelet.evaluation.evaluate import evaluate as evaluate
    from tubelet.evaluation.results import read_results as read_results
    from tubelet.explanation.explain import Explanation as Explanation
    from tubelet.explanation.explain import explain as explain
    from tubelet.exporting.export import export as export
    from tubelet.features.extract import extract_features as extract_features
    from tubelet.features.file import Features as Features
    from tubelet.features.file import read_features as read_features
    from tubelet.features.probe import probe as probe
    from tubelet.features.search import search as search
    from tubelet.labels import Head as Head
    from tubelet.labels import Labels as Labels
    from tubelet.loading import load as load
    from tubelet.loading import start_config as start_config
    from tubelet.loading import start_from as start_from
    from tubelet.models.config import ViViTConfig as ViViTConfig
    from tubelet.models.variants import variant as variant
    from tubelet.models.vivit import ViViT as ViViT
    from tubelet.prediction import Failure as Failure
    from tubelet.prediction import Prediction as Prediction
    from tubelet.streaming.stream import stream as stream
    from tubelet.timelines.rules import Rules as Rules
    from tubelet.timelines.timeline import timeline as timeline
    from tubelet.video.decode import Video as Video
    from tubelet.video.view import View as View
    from tubelet.weights.releases import scenic_zoo as scenic_zoo
    from tubelet.weights.report import LoadReport as LoadReport
    from tubelet.weights.start import Start as Start

PUBLIC: dict[str, tuple[str, ...]] = {
    "classifier": ("Classifier",),
    "models.config": ("ViViTConfig",),
    "models.variants": ("variant",),
    "models.vivit": ("ViViT",),
    "labels": ("Head", "Labels"),
    "video.decode": ("Video",),
    "video.view": ("View",),
    "weights.releases": ("scenic_zoo",),
    "weights.report": ("LoadReport",),
    "weights.start": ("Start",),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.results": ("read_results",),
    "explanation.explain": ("Explanation", "explain"),
    "exporting.export": ("export",),
    "features.extract": ("extract_features",),
    "features.file": ("Features", "read_features"),
    "features.probe": ("probe",),
    "features.search": ("search",),
    "loading": ("load", "start_config", "start_from"),
    "prediction": ("Failure", "Prediction"),
    "streaming.stream": ("stream",),
    "timelines.rules": ("Rules",),
    "timelines.timeline": ("timeline",),
    "errors": ("ConfigError", "DataError", "DecodeError", "TubeletError", "WeightsError"),
}
"""The public names, by the module that holds them."""

__version__ = "0.1.0"
__all__ = [name for names in PUBLIC.values() for name in names]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    for module, names in PUBLIC.items():
        if name in names:
            value = getattr(import_module(f"tubelet.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'tubelet' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
