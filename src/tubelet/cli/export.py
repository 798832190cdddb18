"""`tubelet export MODEL OUT`: a model as a file for another program, checked by running it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Export:
    """A model as a file for another program, run by that program and compared; what does not agree is not kept."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The file to write: .pt2 for pt2 and aoti, .onnx, or .xml for openvino."""
    format: Literal["pt2", "aoti", "onnx", "openvino"]
    """pt2: a graph of torch.export. aoti: compiled for this kind of processor. onnx: for ONNX Runtime and others.
    openvino: for OpenVINO."""
    dtype: Literal["float32", "float16", "int8"] = "float32"
    """In what precision the file computes; int8: onnx only. float16 of openvino: only its weights in the file."""
    with_preprocessing: bool = False
    """The file takes uint8 frames, cropped and resized, and brings them to the model's range of values itself."""
    frames: int | None = None
    """Frames of a clip, which are fixed in the file. Default: the model's own."""
    size: int | None = None
    """Pixels of the side of a frame, which are fixed in the file. Default: the model's own."""
    check: tuple[str, ...] = ()
    """Videos on whose clips to compare with PyTorch. Default: random clips, which say less."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 when the file is written and agrees."""
    options = tyro.cli(Export, prog=prog, args=arguments)
    from tubelet.cli.predict import find_videos
    from tubelet.exporting.export import export, reshaped
    from tubelet.loading import load

    classifier = load(options.model)
    if options.frames is not None or options.size is not None:
        classifier = reshaped(classifier, options.frames, options.size)
    done = export(
        classifier,
        options.out,
        format=options.format,
        dtype=options.dtype,
        with_preprocessing=options.with_preprocessing,
        check=find_videos(options.check),
    )
    print(done.agreement)
    if not options.check:
        print("Name videos of your own with --check to compare on what the model will see.")
    names = " and ".join(str(file) for file in done.files)
    trust = " --trust" if options.format in ("pt2", "aoti") else ""
    print(f"Written: {names}, {done.bytes / 1e6:.1f} MB:  tubelet predict VIDEO --model {options.out}{trust}")
    return 0
