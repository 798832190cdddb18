"""What made the results of an evaluation: model, data, settings, versions, command."""

import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch

from tubelet.classifier import Classifier
from tubelet.data.source import Sample, Source
from tubelet.engines.model import EngineModel
from tubelet.errors import DataError
from tubelet.labels import Average, Labels
from tubelet.models.cost import count_cost
from tubelet.models.fewer_tokens import FewerTokens

MANIFEST = "manifest.json"
FORMAT = "tubelet results"
VERSION = 1
SETTINGS = {
    "model_sha256": "the model",
    "data_sha256": "the videos and their labels",
    "split": "the split",
    "views": "the views",
    "average": "what is averaged",
    "shuffle_frames": "the order of frames",
    "dtype": "the precision",
    "fewer_tokens": "the tokens left out",
}
"""The fields that decide the numbers, and what messages call them."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What made the results."""

    model: str
    """The file that the model was read from, where it was."""
    model_sha256: str
    """Of its weights, its architecture, its view and its labels; not of its thresholds."""
    data: str
    """The source."""
    data_sha256: str
    """Of the names, times, ids, groups and labels of all samples of the split."""
    split: str
    videos: int
    """Number of samples of the split."""
    views: str
    """Temporal x spatial views."""
    average: Average
    """What of the views is averaged."""
    shuffle_frames: bool
    """Whether the frames of each clip came in random order."""
    dtype: str
    """In what precision the model computed."""
    fewer_tokens: dict[str, float | None] | None = None
    """What it left out: the fields of `FewerTokens`. None: nothing."""
    labels: Labels
    """The heads of the classifier."""
    macs_per_view: int
    """Multiply-adds of one view (`tubelet.models.cost`); what is dropped depends on the video, and counts."""
    device: str
    """Where the model computed."""
    processes: int
    """How many shared the work when it began."""
    command: str
    """What was typed."""
    created: str
    """When it began: ISO 8601, UTC."""
    versions: dict[str, str]
    """Of Tubelet, Python and the packages that matter."""

    def differences(self, other: "Manifest") -> list[str]:
        """What decides the numbers and is not the same in both, a line each."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in SETTINGS]
        return [
            f"{SETTINGS[name]}: {mine} there, {theirs} here" for name, mine, theirs in pairs if mine != theirs
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"format": FORMAT, "version": VERSION, **vars(self), "labels": self.labels.to_dict()}

    def write(self, folder: Path) -> None:
        """Put it into a folder, whole."""
        scratch = folder / f"{MANIFEST}.part"
        scratch.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        scratch.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a results folder.

        Raises:
            DataError: if there is none, or it is damaged.
        """
        file = folder / MANIFEST
        if not file.is_file():
            raise DataError(f"{folder} holds no results of an evaluation: there is no {MANIFEST} in it.")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            if (values["format"], values["version"]) != (FORMAT, VERSION):
                raise ValueError(f"its format is {values['format']!r}, version {values['version']}")
            # Results may be from before there was such a setting, or one of its fields.
            values["fewer_tokens"] = FewerTokens.completed(values.get("fewer_tokens"))
            given: dict[str, Any] = {f.name: values[f.name] for f in fields(cls)}
            given["labels"] = Labels.from_dict(values["labels"])
            return cls(**given)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} is damaged, or of another version of Tubelet: {error!r}") from error


def describe(
    classifier: Classifier,
    source: Source,
    samples: Sequence[Sample],
    *,
    split: str,
    views: str,
    average: Average,
    shuffle_frames: bool,
    processes: int,
) -> Manifest:
    """What is about to be evaluated."""
    view, fewer = classifier.view, classifier.model.fewer_tokens
    shown = replace(classifier.model.config, frames=view.frames, size=(view.height, view.width))
    return Manifest(
        model="" if classifier.report is None else classifier.report.file,
        model_sha256=model_sha256(classifier),
        data=repr(source),
        data_sha256=data_sha256(samples, source.labels),
        split=split,
        videos=len(samples),
        views=views,
        average=average,
        shuffle_frames=shuffle_frames,
        dtype=str(classifier.dtype).removeprefix("torch."),
        fewer_tokens=None if fewer is None else asdict(fewer),
        labels=classifier.labels,
        macs_per_view=count_cost(shown, fewer).computed_macs,
        device=classifier.device.type,
        processes=processes,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("tubelet", "torch", "torchmetrics", "av", "numpy")},
        },
    )


def model_sha256(classifier: Classifier) -> str:
    """What tells models apart that answer differently."""
    labels = [{**head, "threshold": None} for head in classifier.labels.to_dict()]
    plain = [classifier.model.config.to_dict(), classifier.view.to_dict(), labels]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    model = classifier.model
    state: dict[str, Any] = {"file": model.sha256} if isinstance(model, EngineModel) else model.state_dict()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def data_sha256(samples: Sequence[Sample], labels: Labels) -> str:
    """What tells lists of labelled clips apart."""
    digest = hashlib.sha256(json.dumps(labels.to_dict()).encode())
    for sample in samples:
        values = (
            sample.name,
            sample.start_seconds,
            sample.end_seconds,
            sample.id,
            sample.group,
            sample.labels,
        )
        digest.update(json.dumps(values).encode() + b"\n")
    return digest.hexdigest()
