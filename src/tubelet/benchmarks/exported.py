"""Formats of exported models: how large, how quick, how near; each run by its own engine, in turn with PyTorch."""

import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Settings, Workplace, compare, machine_line, megabytes, spread
from tubelet.classifier import Classifier
from tubelet.data.disk import clips_below
from tubelet.engines.description import SUFFIXES, ExportDtype, Format
from tubelet.engines.run import open_exported
from tubelet.errors import ConfigError, WeightsError
from tubelet.exporting.check import TOLERANCE, Agreement
from tubelet.exporting.export import export
from tubelet.exporting.formats import DTYPES
from tubelet.loading import load

PYTORCH = "PyTorch, eager"
PACKAGES: dict[Format, tuple[str, ...]] = {
    "pt2": (),
    "aoti": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
}


def export_table(settings: Settings) -> Record:
    """The model that comes with Tubelet, and a named one of random weights, in every format."""
    if settings.where().type != "cpu":
        raise ConfigError(f"Exported files are run on the CPU: there is no table for {settings.device}.")
    begun, machine = time.perf_counter(), machine_line()
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    notes: list[str] = []
    videos = (
        [] if settings.videos is None else [str(file) for file in clips_below(settings.videos, images=False)]
    )
    with Workplace() as place, TemporaryDirectory(prefix="tubelet-bench-") as scratch:
        named = load(place.model(settings.config()))
        for name, classifier in (("camera-motion", load("camera-motion")), (settings.model, named)):
            folder = Path(scratch, name)
            new, measured[name] = model_rows(settings, name, classifier, videos, folder, notes)
            rows += new
    seen = "clips of videos" if videos else "random clips, for no --videos were named"
    return Record(
        name="export",
        title="Formats of exported models",
        about=f"`tubelet bench export`: the model that comes with Tubelet, and {settings.model}"
        f"{'' if settings.blocks is None else f' of {settings.blocks} blocks'} with random weights, "
        f"{settings.frames} frames of {settings.size}x{settings.size} pixels; one clip at a time, float32 pixels to "
        f"logits, by the engine of each format on the CPU. Compared with PyTorch on {seen}: the largest difference "
        "as a share of the largest logit, and how many best answers are the same.",
        columns=("model", "format", "size", "time", "times as fast", "difference", "same answers"),
        rows=rows,
        notes=notes,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )  # fmt: skip


def model_rows(
    settings: Settings, name: str, classifier: Classifier, videos: list[str], folder: Path, notes: list[str]
) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Rows of one model, and their numbers; what cannot be written is a note."""
    view = classifier.view
    clip = view.normalise(
        torch.randint(0, 256, (1, view.frames, view.channels, view.height, view.width), dtype=torch.uint8)
    )

    @torch.inference_mode()
    def eager() -> Tensor:
        return classifier.model(clip)

    programs: dict[str, Callable[[], Tensor]] = {PYTORCH: eager}
    sizes: dict[str, int] = {
        PYTORCH: sum(p.numel() * p.element_size() for p in classifier.model.parameters())
    }
    agreements: dict[str, Agreement] = {}
    for format, dtype in cases():
        label = f"{format}, {dtype}"
        out = folder / f"{dtype}-{format}{SUFFIXES[format]}"
        try:
            done = export(classifier, out, format=format, dtype=dtype, check=videos)
        except (ConfigError, WeightsError) as error:
            notes.append(f"{name}, {label}: {error}")
            continue
        sizes[label], agreements[label] = done.bytes, done.agreement
        programs[label] = answer(out, clip)
    found = compare(settings, programs, None)
    rows = [
        (
            "" if number else name,
            label,
            megabytes(sizes[label]) if sizes[label] >= 1e7 else f"{sizes[label] / 1e6:.1f} MB",
            spread(found.time(label), " s"),
            spread(found.faster(label), "x") if number else "",
            f"{agreements[label].difference:.0e}" if number else "",
            f"{agreements[label].top1:.1%}" if number else "",
        )
        for number, label in enumerate(programs)
    ]
    near = {label: [one.difference, one.top1, one.clips] for label, one in agreements.items()}
    return rows, {"seconds": found.seconds, "bytes": sizes, "agreement": near, "tolerance": TOLERANCE}


def cases() -> Iterable[tuple[Format, ExportDtype]]:
    """Every format in every precision, of those whose programs are installed."""
    dtypes: tuple[ExportDtype, ...] = ("float32", "float16", "int8")
    for format, packages in PACKAGES.items():
        if all(find_spec(package) is not None for package in packages):
            for dtype in dtypes:
                if dtype in DTYPES[format]:
                    yield format, dtype


def answer(file: Path, clip: Tensor) -> Callable[[], Tensor]:
    """Answers a clip by the engine of a file."""
    _, run = open_exported(file, trust=True)
    return lambda: run(clip)[0]
