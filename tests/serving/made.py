"""A small server for the tests: random models, one zygote for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from starlette.testclient import TestClient

import tubelet
from tests.clips import moving_square, write_clip
from tubelet.classifier import Classifier
from tubelet.labels import Head, Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.serving.app import make_app
from tubelet.serving.given import Net
from tubelet.serving.limits import Limits
from tubelet.serving.service import Service
from tubelet.serving.settings import Settings
from tubelet.video.view import View

HEADS = Labels((Head("way", ("left", "right", "none")), Head("things", ("ball", "box"), "multi")))


def tiny(seed: int = 0, *, answers: str = "video", attention: str = "factorised_encoder") -> Classifier:
    """A random model of two heads."""
    torch.manual_seed(seed)
    shape = {"frames": 4, "size": 16, "tubelet": (2, 8, 8), "width": 16, "depth": 1, "heads": 2, "hidden": 16}
    more = {"temporal_depth": 1} if attention == "factorised_encoder" else {}
    config = ViViTConfig(attention=attention, classes=(3, 2), **shape, **more)
    model = ViViT(config)
    with torch.no_grad():
        model.head.weight.normal_(std=1.0)  # a new head answers the same of everything
    view = View(
        frames=4, stride=2, size=16, value_range=(-1.0, 1.0), short="hold", answers=answers,
        views="2x3" if answers == "video" else "1x1",
    )  # fmt: skip
    return Classifier(model, view, HEADS)


def saved(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """A random model as a folder."""
    return tiny(seed, **settings).save(folder)


def clip(file: Path, seed: int = 0, frames: int = 24, side: int = 32) -> Path:
    """A small video, the same for the same numbers."""
    return write_clip(file, moving_square(1, seed, frames, side))


def noise(file: Path, frames: int, height: int, width: int) -> Path:
    """A video of grey frames of any size: small as a file."""
    return write_clip(file, np.full((frames, height, width, 3), 90, np.uint8))


@contextmanager
def server(folder: Path, net: Net | None = None, **settings: Any) -> Iterator[tuple[TestClient, Service]]:
    """A server of the models `video` and `window`, and a client of it."""
    models = {
        "video": saved(folder / "video"),
        "window": saved(folder / "window", 1, answers="window", attention="joint"),
    }
    settings = {"limits": Limits(request_seconds=120.0), "decoders": 2, **settings}
    service = Service(Settings(**settings), models, threads=1, scratch=folder / "scratch")
    with TestClient(make_app(service, net), base_url="http://localhost") as client:
        yield client, service


def limited(service: Service, **limits: Any) -> Settings:
    """Its settings with other limits."""
    return replace(service.settings, limits=replace(service.settings.limits, **limits))


def loaded(folder: Path, name: str) -> Classifier:
    """One of the models of `server`, to ask directly."""
    return tubelet.load(folder / name)
