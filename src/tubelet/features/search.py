"""`search`: which videos of a file of features are like a clip.

The search is exact: every vector of the file is compared, some at a time.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.classifier import Classifier
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.manifest import model_sha256
from tubelet.features.file import Features
from tubelet.features.layer import Layer, video_features
from tubelet.loading import load
from tubelet.video.decode import Video

FOREVER = 1e9
"""Seconds; where a video ends that nobody gave an end."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A video that is like the clip."""

    similarity: float
    """The cosine of the two vectors, at most 1."""
    path: str
    start_seconds: float | None
    end_seconds: float | None
    """The part of the video; None: from its beginning, to its end."""
    id: str | None
    split: str | None
    labels: dict[str, Any]
    """By head: the class, classes or numbers; None where nobody said."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def search(
    clip: str | Path,
    features: Features,
    classifier: Classifier | None = None,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    top: int = 10,
    chunk: int = 8,
) -> list[Hit]:
    """The videos whose vectors have the largest cosine with the clip's, the likest first.

    The clip is looked at as the file's videos were: by the same model, layer and views. Rows that show the same part
    of the same file as the clip are left out.

    Args:
        clip: a video file, or a folder of images.
        features: where to search.
        classifier: the model. None: that of the file, from where it was read then.
        start_seconds: where in the video the clip starts; None: at its beginning.
        end_seconds: where it ends; None: at its end.
        top: how many videos.
        chunk: most views to put through the model at a time.

    Raises:
        DataError: if the classifier is not the one that made the features.
        ConfigError: if the file says no place to load it from.
        DecodeError: if the clip cannot be read.
    """
    if top < 1:
        raise ConfigError(f"top={top} must be 1 or more.")
    classifier = maker(features) if classifier is None else classifier
    check_maker(features, classifier)
    vector = features.vector_of(look_at(classifier, features, clip, start_seconds, end_seconds, chunk))
    places, similarities = nearest(vector, features, clip, (start_seconds, end_seconds), top)
    heads = [head.name for head in features.description.heads]
    found: list[Hit] = []
    for place, similarity in zip(places, similarities, strict=True):
        row = features.rows.slice(place, 1).to_pylist()[0]
        kept = {name: row[name] for name in ("path", "start_seconds", "end_seconds", "id", "split")}
        labels = {name: row[f"{name}.label"] for name in heads}
        found.append(Hit(similarity=similarity, labels=labels, **kept))
    return found


def maker(features: Features, model: str | Path | None = None) -> Classifier:
    """The classifier that made the features, as it computed then.

    Args:
        features: the file.
        model: where it is now. None: where it was read from then.

    Raises:
        ConfigError: if nobody says where.
        DataError: if it is another.
    """
    made = features.description
    if not (model or made.model):
        raise ConfigError(f"{features.file} does not say where its model is: give the model.")
    classifier = load(model or made.model).to(dtype=getattr(torch, made.dtype))
    if made.fewer_tokens is not None:
        classifier = classifier.with_fewer_tokens(**made.fewer_tokens)
    check_maker(features, classifier)
    return classifier


def check_maker(features: Features, classifier: Classifier) -> None:
    """Refuse a classifier that did not make the features.

    Raises:
        DataError: if it is another.
    """
    made, fewer = features.description, classifier.model.fewer_tokens
    same = (None if fewer is None else asdict(fewer)) == made.fewer_tokens
    if not same or model_sha256(classifier) != made.model_sha256:
        raise DataError(
            f"{features.file} was made by another model than this one, or with another view, labels or precision "
            f"(in {made.dtype}, by {made.model or 'a model that was no file'}): vectors of two models cannot be "
            "compared. Give the model that made it, or extract the features again."
        )


def look_at(
    classifier: Classifier,
    features: Features,
    clip: str | Path,
    start_seconds: float | None,
    end_seconds: float | None,
    chunk: int,
) -> Tensor:
    """The features of the clip, as they would stand in the file: `(*shape,)`."""
    made = features.description
    layer = Layer.of(made.layer, made.pool)  # pyright: ignore[reportArgumentType]  # checked by Layer
    layer.check(classifier.model)
    with Video(clip, start_seconds=start_seconds, end_seconds=end_seconds) as video:
        pixels = classifier.view.test_uint8(video, made.views).pixels
    return video_features(classifier, layer, pixels, len(pixels), chunk)[0]


def nearest(
    vector: Tensor,
    features: Features,
    clip: str | Path,
    times: tuple[float | None, float | None],
    top: int,
) -> tuple[list[int], list[float]]:
    """Places and cosines of the likest rows, without the clip itself."""
    own = same_part(features, clip, times)
    asked = F.normalize(vector, dim=0)
    values, rows = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for places, vectors in features.parts():
        cosines = F.normalize(vectors, dim=1) @ asked
        there = torch.from_numpy(places)
        if own:
            cosines[torch.isin(there, torch.tensor(sorted(own)))] = -torch.inf
        values, rows = torch.cat((values, cosines)), torch.cat((rows, there))
        values, best = values.topk(min(top, len(values)))
        rows = rows[best]
    kept = values > -torch.inf
    return rows[kept].tolist(), values[kept].tolist()


def same_part(features: Features, clip: str | Path, times: tuple[float | None, float | None]) -> set[int]:
    """The rows that show more than half of the clip, or of which the clip shows more than half."""
    asked = os.path.realpath(clip)
    begin, end = span(*times)
    columns = (features.rows[name].to_pylist() for name in ("path", "start_seconds", "end_seconds"))
    names = {os.path.basename(asked), os.path.basename(os.path.abspath(clip))}
    found: set[int] = set()
    for row, (path, start, stop) in enumerate(zip(*columns, strict=True)):
        if os.path.basename(path) not in names:  # asking the system about every file would take long
            continue
        first, last = span(start, stop)
        shared = min(end, last) - max(begin, first)
        if shared > min(end - begin, last - first) / 2 and os.path.realpath(path) == asked:
            found.add(row)
    return found


def span(start: float | None, end: float | None) -> tuple[float, float]:
    """The seconds of a part of a video."""
    return start or 0.0, FOREVER if end is None else end
