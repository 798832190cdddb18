"""A server for the tests of its page: a process of its own, with the model in the box and one of awkward names."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import numpy as np
import torch

from tubelet import Classifier, Head, Labels, View, ViViT, ViViTConfig

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
CLIPS = Path(__file__).parents[2] / "examples" / "clips"
READY_SECONDS = 300


def awkward_model(folder: Path) -> Path:
    """A random model with a head of each kind, of many classes, of names that are HTML or long or right to left."""
    words = (
        HOSTILE,
        'a "quoted", name',
        "\u05e9\u05dc\u05d5\u05dd",
        *(f"word {number}" for number in range(17)),
    )
    heads = (
        Head("words", words),
        Head("<b>many</b>", (HOSTILE, "a rather long name of something that goes on in it"), "multi"),
        Head("place", ("x", "y"), "number"),
    )
    config = ViViTConfig(
        attention="factorised_encoder", frames=8, size=16, tubelet=(2, 8, 8), width=24, depth=1, heads=2, hidden=32,
        temporal_depth=1, classes=tuple(len(head.classes) for head in heads),
    )  # fmt: skip
    view = View(frames=8, stride=1, size=16, fit="squash", value_range=(-1.0, 1.0), short="hold")
    model = ViViT(config, torch.Generator().manual_seed(1))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return Classifier(model, view, Labels(heads)).save(folder)


def old_film(file: Path, frames: int = 100) -> Path:
    """MPEG-4 part 2 in AVI: no browser plays it."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
        for number in range(frames):
            picture = np.roll(ramp, 2 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def serve(*options: str, port: int) -> subprocess.Popen[bytes]:
    """A server that answers."""
    command = [sys.executable, "-m", "tubelet.cli", "serve", *options, "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return process
    process.kill()
    raise AssertionError("the server is not ready")
