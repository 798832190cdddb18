"""Mutates small real files and reads them, in a process of its own: `python fuzz.py COUNT SEED [FORMAT ...]`.

Every one must load or be a WeightsError: no other exception, no crash, nothing run, nothing written, 5 seconds
of computing and half a gigabyte at most. Prints a line of JSON for each format.
"""

import json
import math
import os
import pickle
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import tubelet
from tubelet import Classifier, Labels, View, ViViT, ViViTConfig, WeightsError
from tubelet.loading import open_source
from tubelet.weights import scenic
from tubelet.weights.files import read_json, read_npz, read_parts, read_pickle, read_safetensors
from tubelet.weights.rename import write
from tubelet.weights.to_huggingface import write_huggingface

SECONDS = 5.0
BYTES = 2**29
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.",
    "socket.",
    "shutil.",
    "os.remove",
)
CONFIG = ViViTConfig(frames=2, size=4, tubelet=(2, 2, 2), width=4, depth=1, heads=2, hidden=4, classes=(2,))
BOMBS = (b"\x85" * 2000, b"\x81\xa1a" * 2000, b"[" * 2000, b"(" * 2000)
EXTREMES = (0, 1, -1, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)


def small(attention: Any = "joint", **fields: Any) -> ViViT:
    return ViViT(replace(CONFIG, attention=attention, **fields))


def flax(tree: dict[str, Any]) -> bytes:
    """As flax writes a tree, arrays of more than 64 bytes in chunks."""

    def pack(array: np.ndarray) -> msgpack.ExtType:
        return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))

    def prepare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: prepare(item) for key, item in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        if value.nbytes <= 64:
            return pack(value)
        flat = value.reshape(-1)
        chunks = {str(i): pack(flat[16 * i : 16 * i + 16]) for i in range(math.ceil(flat.size / 16))}
        shape = {str(i): n for i, n in enumerate(value.shape)}
        return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}

    return msgpack.packb(prepare(tree))


def scenic_file(folder: Path) -> Path:
    """A factorised encoder in the released layout."""
    model = small("factorised_encoder", temporal_depth=1)
    flat = write(model.state_dict(), scenic.table(), lambda _: 2)
    tree: dict[str, Any] = {}
    for name, tensor in flat.items():
        *parents, leaf = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = tensor.detach().numpy()
    content = {
        "optimizer": {"target": tree, "state": {"step": 3}},
        "global_step": 3,
        "rng": np.zeros(2, np.uint32),
    }
    (folder / "checkpoint").write_bytes(flax(content))
    return folder / "checkpoint"


def tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.ones(2, 3), "b": torch.arange(4, dtype=torch.float16), "c": torch.tensor(1)}


def safetensors_file(folder: Path) -> Path:
    save_file(tensors(), folder / "x.safetensors")
    return folder / "x.safetensors"


def zip_file(folder: Path) -> Path:
    torch.save({"model": tensors(), "epoch": 3}, folder / "x.pt")
    return folder / "x.pt"


def legacy_file(folder: Path) -> Path:
    torch.save(tensors(), folder / "x.bin", _use_new_zipfile_serialization=False)
    return folder / "x.bin"


def npz_file(folder: Path) -> Path:
    np.savez(folder / "x.npz", **{name: tensor.numpy() for name, tensor in tensors().items()})
    return folder / "x.npz"


def compressed_npz_file(folder: Path) -> Path:
    np.savez_compressed(folder / "x.npz", **{name: tensor.numpy() for name, tensor in tensors().items()})
    return folder / "x.npz"


def index_file(folder: Path) -> Path:
    save_file(tensors(), folder / "part-1")
    (folder / "outside").symlink_to("/dev/zero")
    content = {"metadata": {"total_size": 40}, "weight_map": {"a": "part-1", "b": "part-1"}}
    (folder / "x.json").write_text(json.dumps(content))
    return folder / "x.json"


def model_folder(folder: Path) -> Path:
    view = View.scenic(frames=2, size=4, resize=5)
    Classifier(small(), view, Labels.single(("sit", "stand"))).save(folder)
    return folder


def config_file(folder: Path) -> Path:
    return model_folder(folder) / "config.json"


def weights_file(folder: Path) -> Path:
    return model_folder(folder) / "model.safetensors"


def huggingface_folder(folder: Path) -> Path:
    view = View.huggingface({"size": {"shortest_edge": 5}, "crop_size": {"height": 4, "width": 4}}, frames=2)
    out = folder / "theirs"
    write_huggingface(small(), view, Labels.single(("sit", "stand")), out)
    return out


def huggingface_config(folder: Path) -> Path:
    return huggingface_folder(folder) / "config.json"


def huggingface_processor(folder: Path) -> Path:
    return huggingface_folder(folder) / "preprocessor_config.json"


def image_vit() -> dict[str, torch.Tensor]:
    """An image ViT of one block under timm's names."""
    shapes = {
        "cls_token": (1, 1, 64), "pos_embed": (1, 5, 64), "norm": (64,), "patch_embed.proj": (64, 3, 2, 2),
        "blocks.0.norm1": (64,), "blocks.0.norm2": (64,), "blocks.0.attn.qkv": (192, 64),
        "blocks.0.attn.proj": (64, 64), "blocks.0.mlp.fc1": (8, 64), "blocks.0.mlp.fc2": (64, 8),
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if len(shape) == 3:
            tensors[name] = torch.ones(shape)
        else:
            tensors |= {f"{name}.weight": torch.ones(shape), f"{name}.bias": torch.ones(shape[0])}
    return tensors


def image_file(folder: Path) -> Path:
    torch.save({"model": image_vit()}, folder / "x.pth")
    return folder / "x.pth"


def image_safetensors(folder: Path) -> Path:
    save_file(image_vit(), folder / "x.safetensors")
    return folder / "x.safetensors"


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "scenic": (scenic_file, tubelet.load),
    "safetensors": (safetensors_file, read_safetensors),
    "pt": (zip_file, read_pickle),
    "legacy pt": (legacy_file, read_pickle),
    "npz": (npz_file, read_npz),
    "compressed npz": (compressed_npz_file, read_npz),
    "index": (index_file, lambda path: read_parts(path, read_safetensors)),
    "json": (config_file, read_json),
    "config": (config_file, lambda path: tubelet.load(path.parent)),
    "weights": (weights_file, lambda path: tubelet.load(path.parent)),
    "huggingface": (huggingface_config, lambda path: tubelet.load(path.parent)),
    "processor": (huggingface_processor, lambda path: tubelet.load(path.parent)),
    "image pt": (image_file, open_source),
    "image safetensors": (image_safetensors, open_source),
}
"""What makes a file, and what reads it."""


def mutate_value(value: Any, draw: random.Random, folder: Path) -> Any:
    """Another value in the place of one value of a JSON tree."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        if draw.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate_value(value[key], draw, folder)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], mutate_value(value[at], draw, folder), *value[at + 1 :]]
    others = (
        None, True, "", "x", "../../etc/passwd", "outside", "/dev/zero", "part-1", [], {}, [[]], 1e308, float("nan"),
        float("inf"), -1.5, 10**400, *EXTREMES, 10**7, 10**6, [10**6, 10**6], ["a"] * 3, {"a": 1},
    )  # fmt: skip
    return draw.choice(others)


def mutate(content: bytes, draw: random.Random, folder: Path, is_json: bool) -> bytes:
    """One to four mutations: bits, bytes, cuts, splices, numbers that lie; of JSON also values."""
    if is_json and draw.random() < 0.8:
        tree = json.loads(content)
        for _ in range(draw.randint(1, 3)):
            tree = mutate_value(tree, draw, folder)
        if draw.random() < 0.02:
            return b'{"a":' * 100_000
        return json.dumps(tree).encode()
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not data:
            break
        at, length = draw.randrange(len(data)), draw.choice((1, 2, 4, 8, 16, 64))
        match draw.randrange(8):
            case 0 | 1:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                data[at] = draw.randrange(256)
            case 3:
                del data[at : len(data) if draw.random() < 0.3 else at + length]
            case 4:
                other = draw.randrange(len(data))
                data[at : at + draw.choice((0, length))] = data[other : other + length]
            case 5:
                order = draw.choice(("little", "big"))
                size = draw.choice((1, 2, 4, 8))
                data[at : at + size] = (draw.choice(EXTREMES) % 256**size).to_bytes(size, order)
            case 6:
                data[at:at] = draw.choice((*BOMBS, bytes(length)))
            case _:
                evil = pickle.dumps(Evil(), protocol=2)
                data[at : at + draw.choice((0, len(evil)))] = evil
    return bytes(data)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


class Watch:
    """Notes whatever runs something or writes a file while it is looking."""

    def __init__(self) -> None:
        self.looking = False
        self.events: list[str] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.looking and (event.startswith(FORBIDDEN) or (event == "open" and writes(arguments))):
            self.events.append(f"{event} {arguments}")


def writes(arguments: tuple[Any, ...]) -> bool:
    """Whether the arguments of `open` are of a file to be written."""
    return isinstance(arguments[1], str) and any(letter in arguments[1] for letter in "wax+")


def fuzz(kind: str, count: int, start: int, folder: Path, watch: Watch) -> dict[str, Any]:
    """Read `count` mutations of a file of a kind; returns what became of them."""
    make, reader = FORMATS[kind]
    file = make(folder)
    good = file.read_bytes()
    reader(file)  # as it is it is good
    found = {"refused": 0, "loaded": 0, "slowest": 0.0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @seed(start)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(number=st.integers(0, 2**63))
    def one(number: int) -> None:
        file.write_bytes(mutate(good, random.Random(number), folder, file.suffix == ".json"))
        began, watch.looking, outcome = time.process_time(), True, "loaded"
        try:
            reader(file)
        except WeightsError:
            outcome = "refused"
        finally:
            watch.looking = False
        seconds = time.process_time() - began
        found["slowest"] = max(found["slowest"], round(seconds, 3))
        found[outcome] += 1
        assert seconds < SECONDS, f"mutation {number} took {seconds} seconds"
        assert not watch.events, f"mutation {number} did {watch.events}"

    one()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < BYTES, f"memory grew by {grown:,} bytes"
    return {"format": kind, **found, "grown": grown}


def main(kinds: list[str], count: int, start: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    watch = Watch()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 4 * BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(fuzz(kind, count, start, Path(folder), watch)), flush=True)


if __name__ == "__main__":
    main(sys.argv[3:] or list(FORMATS), int(sys.argv[1]), int(sys.argv[2]))
