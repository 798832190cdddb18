"""`Description`: what made a file of features. It is kept in the file itself, beside the columns."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Literal, Self

from tubelet import __version__
from tubelet.classifier import Classifier
from tubelet.data.source import Sample
from tubelet.errors import DataError
from tubelet.evaluation.manifest import model_sha256
from tubelet.features.layer import Layer
from tubelet.labels import Head, Labels
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.video.checks import parse_views

FORMAT = "tubelet features"
VERSION = 1
KEY = b"tubelet"
"""Under which it stands in the metadata of a Parquet file, as JSON."""

Storage = Literal["float32", "float16"]

MODEL = {
    "model_sha256": "the model",
    "views": "the views",
    "layer": "the layer",
    "pool": "what becomes of its tokens",
    "shape": "the shape",
    "fewer_tokens": "the tokens left out",
}
"""What must be the same for features to be comparable, and what messages call it."""
SETTINGS = {
    **MODEL,
    "data_sha256": "the videos and their labels",
    "dtype": "the precision of the model",
    "storage": "the precision of the file",
}
"""What decides the numbers in a file."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What made a file of features."""

    model: str
    """The file or folder that the model was read from; empty where there was none."""
    model_sha256: str
    """Of its weights, its architecture, its view and its labels."""
    view: dict[str, Any]
    """How the model looks at a video."""
    views: str
    """Temporal x spatial views of each video."""
    layer: str
    """Where the features were taken; see `Layer`."""
    pool: str | None
    """What became of the tokens; see `Layer`."""
    shape: tuple[int, ...]
    """Of a video's features; see `Layer.shape`."""
    grid: tuple[int, int, int]
    """Tubelets along time, height and width."""
    class_token: bool
    """Whether the first of the model's tokens is a class token, of no place."""
    dtype: str
    """In what precision the model computed."""
    fewer_tokens: dict[str, Any] | None
    """What it left out: the fields of `FewerTokens`. None: nothing."""
    storage: Storage
    """In what precision the features are kept."""
    heads: tuple[Head, ...]
    """What is known of the videos; none of videos without labels."""
    data: str
    """Where the videos are from."""
    data_sha256: str
    """Of the names, times, ids, groups, splits and labels of all of them."""
    videos: int
    """Number of rows, unreadable videos included."""
    versions: dict[str, str]
    """Of Tubelet, Python and the packages that matter."""

    @property
    def values(self) -> int:
        """Numbers in a row."""
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Of the features of a video."""
        return self.values * (2 if self.storage == "float16" else 4)

    def differences(self, other: "Description", names: Mapping[str, str] = SETTINGS) -> list[str]:
        """What is not the same in both, a line each."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [
            f"{names[name]}: {mine} there, {theirs} here" for name, mine, theirs in pairs if mine != theirs
        ]

    def to_json(self) -> str:
        """As text."""
        heads = Labels(self.heads).to_dict() if self.heads else []
        values = {"format": FORMAT, "version": VERSION, **vars(self), "heads": heads}
        return json.dumps(values, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, file: Path) -> Self:
        """The inverse of `to_json`.

        Raises:
            DataError: if it is none; names the file it is from.
        """
        try:
            values = json.loads(text)
            if (values["format"], values["version"]) != (FORMAT, VERSION):
                raise ValueError(f"its format is {values['format']!r}, version {values['version']}")
            given: dict[str, Any] = {f.name: values[f.name] for f in fields(cls)}
            given["heads"] = Labels.from_dict(given["heads"]).heads if given["heads"] else ()
            for name in ("shape", "grid"):
                given[name] = tuple(given[name])
            given["fewer_tokens"] = FewerTokens.completed(given["fewer_tokens"])
            return cls(**given)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} is damaged, or of another version of Tubelet: {error!r}") from error


def describe(
    classifier: Classifier,
    layer: Layer,
    samples: Sequence[Sample],
    heads: tuple[Head, ...],
    *,
    data: str,
    views: str,
    storage: Storage,
) -> Description:
    """What is about to be done."""
    view, config, fewer = classifier.view, classifier.model.config, classifier.model.fewer_tokens
    clips, crops = parse_views(views)
    clip = (view.frames, view.height, view.width)
    return Description(
        model=model_place(classifier),
        model_sha256=model_sha256(classifier),
        view=view.to_dict(),
        views=views,
        layer=layer.name,
        pool=layer.pool,
        shape=layer.shape(config, clip, clips * crops),
        grid=config.grid_of(*clip),
        class_token=config.has_class_token,
        dtype=str(classifier.dtype).removeprefix("torch."),
        fewer_tokens=None if fewer is None else asdict(fewer),
        storage=storage,
        heads=heads,
        data=data,
        data_sha256=clips_sha256(samples, heads),
        videos=len(samples),
        versions={
            "tubelet": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "av", "numpy", "pyarrow")},
        },
    )


def model_place(classifier: Classifier) -> str:
    """Where `tubelet.load` finds the model again: the file that it was read from, or the folder that describes it."""
    if classifier.report is None or not classifier.report.file:
        return ""
    file = Path(classifier.report.file)
    if not file.exists():
        return str(file)
    described = file.is_file() and (file.parent / "config.json").is_file()
    return str((file.parent if described else file).absolute())


def clips_sha256(samples: Sequence[Sample], heads: tuple[Head, ...]) -> str:
    """What tells lists of clips apart."""
    digest = hashlib.sha256(json.dumps([asdict(head) for head in heads]).encode())
    for s in samples:
        values = (s.name, s.start_seconds, s.end_seconds, s.id, s.group, s.split, s.labels)
        digest.update(json.dumps(values).encode() + b"\n")
    return digest.hexdigest()
