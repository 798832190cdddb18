"""Exported files, each run by its own engine on the CPU: clips in, outputs out.

ONNX and OpenVINO files hold a graph and numbers. Those of PyTorch hold what is executed: a pickle (`pt2`), a compiled
library (`aoti`); so they are opened only on the word that whoever made them is trusted.
"""

import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tubelet.engines.description import KEY, LONGEST, Description
from tubelet.errors import ConfigError, WeightsError

Run = Callable[[Tensor], list[Tensor]]
"""Clips `(B, F, C, H, W)` to the outputs of a graph, the logits `(B, sum(classes))` first."""

EXTRA = f"{KEY}.json"
"""The entry of the description in the archives of PyTorch."""


def needed(module: str, purpose: str) -> Any:
    """A package that is not installed with Tubelet.

    Raises:
        ConfigError: if it is not there.
    """
    if find_spec(module) is None:
        raise ConfigError(f"{purpose} needs {module}, which is not installed: pip install 'tubelet[export]'.")
    return import_module(module)


def open_exported(path: Path, trust: bool = False) -> tuple[Description, Run]:
    """What a file says of itself, and how to run it.

    Args:
        path: an `.onnx`, `.pt2` or `.xml` file.
        trust: execute what a `.pt2` holds.

    Raises:
        WeightsError: if it is no file of `tubelet export`, or holds code and is not trusted.
        ConfigError: if its engine is not installed.
    """
    if path.suffix == ".pt2":
        description = read_archive(path)
        if not trust:
            raise WeightsError(
                f"{path} holds code ({description.format}), which opening it executes: only open it if you trust "
                "whoever made it, with tubelet.load(..., trust=True) or `tubelet predict --trust`. ONNX and OpenVINO "
                "files hold none."
            )
        return description, run_pt2(path) if description.format == "pt2" else run_aoti(path)
    return open_onnx(path) if path.suffix == ".onnx" else open_openvino(path)


def read_archive(path: Path) -> Description:
    """The description in an archive of PyTorch, of which nothing else is read."""
    text: str | None = None
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if Path(entry.filename).name == EXTRA:
                with archive.open(entry) as stream:
                    text = stream.read(LONGEST).decode()
    return Description.from_json(text, str(path))


def run_pt2(path: Path) -> Run:
    """A graph of torch.export, run by PyTorch operator by operator."""
    module = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def run(video: Tensor) -> list[Tensor]:
        return outputs(module(video))

    return run


def run_aoti(path: Path) -> Run:
    """A compiled library, loaded into this process."""
    from torch._inductor import aoti_load_package

    loaded = aoti_load_package(str(path))

    @torch.inference_mode()
    def run(video: Tensor) -> list[Tensor]:
        return outputs(loaded(video))

    return run


def open_onnx(path: Path) -> tuple[Description, Run]:
    """ONNX Runtime, with as many threads as PyTorch has."""
    ort = needed("onnxruntime", "Running ONNX files")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only: a notice about a device that is not there is none of ours
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    description = Description.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
    name = session.get_inputs()[0].name

    def run(video: Tensor) -> list[Tensor]:
        return [torch.from_numpy(array) for array in session.run(None, {name: video.contiguous().numpy()})]

    return description, run


def open_openvino(path: Path) -> tuple[Description, Run]:
    """OpenVINO on the CPU, which computes in float32 also where weights are kept in float16."""
    openvino = needed("openvino", "Running OpenVINO files")
    core = openvino.Core()
    model = core.read_model(str(path))
    text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    description = Description.from_json(text, str(path))
    # Left to itself it computes in bfloat16 where the processor has hardware for it.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(model, "CPU", settings)

    def run(video: Tensor) -> list[Tensor]:
        found = compiled(video.contiguous().numpy())
        return [torch.from_numpy(np.array(found[port])) for port in compiled.outputs]

    return description, run


def outputs(found: Any) -> list[Tensor]:
    """Those of a graph, which may be one."""
    return [found] if isinstance(found, Tensor) else list(found)
