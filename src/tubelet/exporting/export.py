"""`export`: a model as a file for another program, kept only if that program answers as PyTorch does."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tubelet.classifier import Classifier
from tubelet.engines.description import Description, ExportDtype, Format
from tubelet.engines.run import open_exported
from tubelet.errors import ConfigError
from tubelet.exporting.check import Agreement, agreement, clips_to_check, refuse_drift
from tubelet.exporting.formats import check_format, write_exported
from tubelet.exporting.graph import check_exportable
from tubelet.prediction import Source

MADE_WITH: dict[str, tuple[str, ...]] = {
    "pt2": ("torch",),
    "aoti": ("torch",),
    "onnx": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "openvino": ("torch", "openvino"),
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written, and how well it agrees."""

    files: tuple[Path, ...]
    """The one to open first."""
    description: Description
    agreement: Agreement
    seconds: float
    """That writing and checking took."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in self.files)


def export(
    classifier: Classifier,
    out: str | Path,
    *,
    format: Format,
    dtype: ExportDtype = "float32",
    with_preprocessing: bool = False,
    check: Sequence[Source] = (),
) -> Exported:
    """Write a model as a file for another program, run the file by that program, and compare.

    The file takes any number of clips at once, of the frames and size of the view, and knows view and labels;
    `tubelet.load` reads it. A file whose logits are further from PyTorch's than `exporting.check.TOLERANCE` is not
    kept.

    Args:
        classifier: in float32.
        out: the file, which must not be there: `.pt2`, `.onnx`, or `.xml` for OpenVINO, with a `.bin` beside it.
        format: `"pt2"`, `"aoti"`, `"onnx"` or `"openvino"`; see docs/export.md.
        dtype: in what precision the file computes; int8 is ONNX's. OpenVINO's float16 is that of its weights.
        with_preprocessing: the file takes uint8 frames, cropped and resized, and does the view's value step itself.
        check: videos on which to compare. None: random clips, which say less.

    Raises:
        ConfigError: for what this model or format cannot do, or a program that is not installed.
        DecodeError: if a video to check on cannot be read.
        WeightsError: if the file does not answer as the model does; says from which block on.
        FileExistsError: if there is a file already.
    """
    begun, out = time.perf_counter(), Path(out)
    check_exportable(classifier)
    if classifier.dtype != torch.float32 or classifier.device.type != "cpu":
        raise ConfigError(
            f"The model is in {classifier.dtype} on {classifier.device}: a file is compared with float32 on the CPU; "
            'load it anew, or use .to("cpu", torch.float32).'
        )
    for file in (out, out.with_suffix(".bin")) if format == "openvino" else (out,):
        if file.exists():
            raise FileExistsError(f"{file} exists and is not overwritten: name another file.")
    description = Description(
        format=format,
        dtype=dtype,
        config=classifier.model.config,
        view=classifier.view,
        labels=classifier.labels,
        with_preprocessing=with_preprocessing,
        weights_sha256=weights_sha256(classifier),
        versions={name: version(name) for name in ("tubelet", *MADE_WITH.get(format, ()))},
    )
    check_format(description, out)
    clips = clips_to_check(classifier, check, description)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".part-") as scratch:
        part = Path(scratch, out.name)
        write_exported(classifier, description, part)
        found = agreement(classifier, description, open_exported(part, trust=True)[1], clips, bool(check))
        if not found.holds:
            refuse_drift(classifier, description, found, clips[:1])
        files = sorted((file for file in Path(scratch).iterdir()), key=lambda file: file.name != out.name)
        for file in files:
            file.replace(out.parent / file.name)
    return Exported(
        files=tuple(out.parent / file.name for file in files),
        description=description,
        agreement=found,
        seconds=time.perf_counter() - begun,
    )


def reshaped(classifier: Classifier, frames: int | None, size: int | None) -> Classifier:
    """The classifier with a view of other frames or another square size, for `export`.

    Its positions are resampled. The pixels before cropping keep their ratio to the size.

    Raises:
        ConfigError: if the tubelet does not divide them.
    """
    view = classifier.view
    if frames is not None:
        view = replace(view, frames=frames)
    if size is not None:
        resize, old = view.resize, min(view.height, view.width)
        if isinstance(resize, tuple):
            resize = tuple(round(side * size / old) for side in resize)
        elif resize is not None:
            resize = round(resize * size / old)
        view = replace(view, size=size, resize=resize)
    return Classifier(classifier.model, view, classifier.labels, classifier.report, classifier.extra)


def weights_sha256(classifier: Classifier) -> str:
    """Of the names, types, shapes and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
