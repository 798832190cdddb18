"""How each format is written: a graph of torch.export, and its description, into a file."""

import logging
import shutil
import warnings
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from tubelet.classifier import Classifier
from tubelet.engines.description import KEY, SUFFIXES, Description
from tubelet.engines.run import EXTRA, needed
from tubelet.errors import ConfigError
from tubelet.exporting.graph import program_of

DTYPES: dict[str, tuple[str, ...]] = {
    "pt2": ("float32", "float16"),
    "aoti": ("float32", "float16"),
    "onnx": ("float32", "float16", "int8"),
    "openvino": ("float32", "float16"),
}
"""In what precision each format can be written."""


def check_format(description: Description, out: Path) -> None:
    """Refuse what cannot be written, before any work is done.

    Raises:
        ConfigError: for a precision that the format has not, another ending, or a program that is not installed.
    """
    name, dtypes = description.format, DTYPES[description.format]
    if description.dtype not in dtypes:
        raise ConfigError(f"{name} is written in {' or '.join(dtypes)}, not in {description.dtype}.")
    if out.suffix != SUFFIXES[name]:
        raise ConfigError(f"A file of format {name} ends in {SUFFIXES[name]}, and {out.name} does not.")
    if name == "onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            needed(module, "Writing ONNX files")
    if name == "openvino":
        needed("openvino", "Writing OpenVINO files")
    if name == "aoti" and shutil.which("g++") is None and shutil.which("clang++") is None:
        raise ConfigError("aoti is compiled by a C++ compiler, and there is neither g++ nor clang++ here.")


def write_exported(
    classifier: Classifier, description: Description, out: Path, with_blocks: bool = False
) -> None:
    """Write a model in the format and precision of its description; see `Graph` for `with_blocks`."""
    # OpenVINO's float16 is one of the weights in the file only, and ONNX's int8 is made of the float32 graph.
    inside = description.dtype == "float16" and description.format != "openvino"
    with quiet():
        program = program_of(classifier, description, torch.float16 if inside else torch.float32, with_blocks)
        WRITERS[description.format](program, description, out)


@contextmanager
def quiet() -> Generator[None]:
    """Without the warnings of exporters, which are about their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write_pt2(program: ExportedProgram, description: Description, out: Path) -> None:
    """torch.export's own archive."""
    torch.export.save(program, str(out), extra_files={EXTRA: description.to_json()})


def write_aoti(program: ExportedProgram, description: Description, out: Path) -> None:
    """Compiled by AOTInductor for this kind of processor."""
    from torch._inductor import aoti_compile_and_package

    aoti_compile_and_package(program, package_path=str(out))
    with zipfile.ZipFile(out, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{EXTRA}", description.to_json())


def write_onnx(program: ExportedProgram, description: Description, out: Path) -> None:
    """By PyTorch's exporter; int8 by ONNX Runtime's dynamic quantisation of all matrix products."""
    onnx = needed("onnx", "Writing ONNX files")
    count = len(program.graph_signature.user_outputs)
    names = ["logits", *(f"tokens_{i}" for i in range(count - 1))]
    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["video"], output_names=names
    )
    assert exported is not None
    exported.save(str(out))
    if description.dtype == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        plain = onnx.load(str(out))
        del plain.graph.value_info[
            :
        ]  # shapes of the float32 graph, which the quantiser would hold its own against
        quantize_dynamic(plain, out, per_channel=True, weight_type=QuantType.QInt8)
    model = onnx.load(str(out), load_external_data=False)
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    onnx.save(model, str(out))


def write_openvino(program: ExportedProgram, description: Description, out: Path) -> None:
    """OpenVINO's intermediate representation, the weights in a `.bin` beside it."""
    openvino: Any = needed("openvino", "Writing OpenVINO files")
    model = openvino.convert_model(program)
    model.reshape([-1, *description.clip_shape])
    model.set_rt_info(description.to_json(), [KEY])
    openvino.save_model(model, str(out), compress_to_fp16=description.dtype == "float16")


WRITERS: dict[str, Callable[[ExportedProgram, Description, Path], None]] = {
    "pt2": write_pt2,
    "aoti": write_aoti,
    "onnx": write_onnx,
    "openvino": write_openvino,
}
