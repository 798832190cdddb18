"""Files made to take the process down: each is refused with a WeightsError, in time and within bounds."""

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import tubelet
from tubelet import Classifier, Labels, View, ViViT, ViViTConfig, WeightsError
from tubelet.weights.files import (
    flatten,
    read_json,
    read_msgpack,
    read_npz,
    read_parts,
    read_pickle,
    read_safetensors,
)

NESTED = b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"K\x01s."
"""A dict whose key is a tuple in a tuple in a tuple ...: hashing it overflows the stack, and `torch.load` with
`weights_only=True` ends with the process (PyTorch 2.15)."""


def zipped(file: Path, content: bytes, **others: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"x/data.pkl": content, "x/version": b"3\n", **others}.items():
            archive.writestr(name, data)
    return file


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_nested_pickles(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.pt"
    if kind == "zip":
        zipped(file, NESTED)
    else:
        torch.save({}, file, _use_new_zipfile_serialization=False)
        file.write_bytes(NESTED + file.read_bytes())
    with pytest.raises(WeightsError, match="nests more than 100"):
        read_pickle(file)


def test_endless_pickles(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="more than 500,000 steps"):
        read_pickle(zipped(tmp_path / "x.pt", b"\x80\x02" + b"N0" * 300_000 + b"N."))


def test_archives(tmp_path: Path) -> None:
    good = pickle.dumps({}, protocol=2)
    for message, others in (
        ("points outside", {"../../x/data/0": b"1"}),
        ("points outside", {"/etc/x": b"1"}),
        ("there twice", {"X/DATA.PKL": b"1"}),
        ("unpacks to", {"x/data/0": bytes(2**27)}),
    ):
        with pytest.raises(WeightsError, match=message):
            read_pickle(zipped(tmp_path / "x.pt", good, **others))


def test_tensors_that_lie(tmp_path: Path) -> None:
    """A view of one number that says it has 10^14; more numbers than the file has bytes; others than numbers."""
    for message, content in (
        ("has 4 bytes", {"a": torch.ones(1).expand(10**7, 10**7)}),
        ("has 0 bytes", {"a": torch.ones(0, 5)}),
        ("complex64", {"a": torch.ones(1, dtype=torch.complex64)}),
        ("PyTorch weights", {"a": torch.ones(2, 2).to_sparse()}),
        ("no plain array", {"a": torch.empty(10**6, 10**6, device="meta")}),
    ):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(WeightsError, match=message):
            read_pickle(tmp_path / "x.pt")


def test_safetensors_headers_that_lie(tmp_path: Path) -> None:
    def entry(dtype: str, shape: list[int], *offsets: int) -> dict[str, Any]:
        return {"a": {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}}

    many = {f"t{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(30_000)}
    file = tmp_path / "x.safetensors"
    for header, data in (
        (entry("F32", [2**62, 2**62], 0, 4), b"1234"),
        (entry("F32", [0, 2**62], 0, 0), b""),
        (entry("F32", [0, 2**64 - 1], 0, 0), b""),
        (entry("F32", [2], 0, 4), b"1234"),
        (entry("F32", [1], 4, 8), b"1234"),
        (entry("F4", [2], 0, 1), b"1"),
        (entry("X9", [1], 0, 4), b"1234"),
        (many, bytes(30_000)),
    ):
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + data)
        with pytest.raises(WeightsError, match=r"x\.safetensors"):
            read_safetensors(file)
    file.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(WeightsError):
        read_safetensors(file)


def packed(shape: Any, dtype: Any, data: Any) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, data)))


def test_chunks_that_lie(tmp_path: Path) -> None:
    one = packed([2], "float32", bytes(8))
    file = tmp_path / "checkpoint"
    for shape, chunks in (
        ({"0": 4}, {"0": one}),
        ({"0": 2**40}, {"0": one}),
        ({"0": -2}, {"0": one}),
        ({"0": "2"}, {"0": one}),
        ({"0": 2}, {"1": one}),
        ({"0": 2}, {}),
        ({"0": 2}, {"0": "text"}),
        ({"0": 4}, {"0": one, "1": packed([2], "int32", bytes(8))}),
        ({"0": 2}, 7),
        ([2], [one]),
        (None, None),
    ):
        content = {"a": {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}}
        file.write_bytes(msgpack.packb(content))
        with pytest.raises(WeightsError, match="flax msgpack"):
            read_msgpack(file)


def test_arrays_that_lie(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    for array in (
        packed([2**62, 4], "float32", bytes(16)),
        packed([-1], "float32", bytes(4)),
        packed([2.0], "float32", bytes(8)),
        packed([True], "object", bytes(8)),
        packed(2, "float32", bytes(8)),
        packed([1], 5, bytes(4)),
        packed([1], "float32", 7),
        msgpack.ExtType(1, b""),
        msgpack.ExtType(9, b"1234"),
    ):
        file.write_bytes(msgpack.packb({"a": array}))
        with pytest.raises(WeightsError, match="flax msgpack"):
            read_msgpack(file)


def test_many_small_things(tmp_path: Path) -> None:
    """A byte of the file can be fifty in memory, so things are counted."""
    file = tmp_path / "checkpoint"
    for content in (
        {str(i): i for i in range(5000)},
        {str(i): {str(j): j for j in range(4000)} for i in range(30)},
        {str(i): [[]] * 4000 for i in range(30)},
    ):
        file.write_bytes(msgpack.packb(content))
        with pytest.raises(WeightsError, match="flax msgpack"):
            read_msgpack(file)
    file.write_bytes(b"\x81\xa1a" * 80 + b"\x80")
    with pytest.raises(WeightsError, match="nests more than 64"):
        read_msgpack(file)


def test_chunks_as_flax_writes_them() -> None:
    """`chunked_by_flax.msgpack` was written by flax 0.12.8 itself with chunks of at most 64 bytes."""
    tensors = flatten(read_msgpack(Path(__file__).parent / "data" / "chunked_by_flax.msgpack"))
    rng = np.random.default_rng(0)
    expected = {
        "params/a/kernel": rng.standard_normal((5, 3, 4)).astype(np.float32),
        "params/a/bias": rng.standard_normal(4).astype(np.float32),
        "params/half": rng.standard_normal((9, 9)).astype(np.float16),
    }
    brain = tensors.pop("params/brain")
    assert brain.dtype == torch.bfloat16
    assert torch.equal(brain, torch.from_numpy(rng.standard_normal((7, 11)).astype(np.float32)).bfloat16())
    assert set(tensors) == set(expected)
    assert all(np.array_equal(tensors[name].numpy(), array) for name, array in expected.items())


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for content in (
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a": ' + b"1" * 100_000 + b"}",
        b" " * 2**24 + b"{}",
    ):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match="JSON"):
            read_json(file)


@pytest.mark.parametrize("reader", [read_safetensors, read_pickle, read_msgpack, read_npz, read_json])
def test_no_regular_files(tmp_path: Path, reader: Any) -> None:
    """A pipe would wait for ever, a device never end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(WeightsError, match="no regular file"):
            reader(tmp_path / name)
    with pytest.raises(WeightsError, match="a folder"):
        reader(tmp_path)


def test_indices_that_point_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    save_file({"a": torch.ones(2)}, folder / "part-1")
    save_file({"b": torch.ones(2)}, tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "device").symlink_to("/dev/zero")
    index = folder / "model.safetensors.index.json"
    for name in (
        "../../secret",
        str(tmp_path / "secret"),
        "out",
        "device",
        "..",
        "",
        "x/../part-1",
        7,
        None,
        ["a"],
    ):
        index.write_text(json.dumps({"weight_map": {"a": "part-1", "b": name}}))
        with pytest.raises(WeightsError, match=r"outside its folder|no regular file"):
            read_parts(index, read_safetensors)
    for content in ({}, {"weight_map": {}}, {"weight_map": ["part-1"]}):
        index.write_text(json.dumps(content))
        with pytest.raises(WeightsError, match="names no parts"):
            read_parts(index, read_safetensors)
    index.write_text(json.dumps({"weight_map": {"a": "part-1"}}))
    assert read_parts(index, read_safetensors)["a"].tolist() == [1, 1]


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_file({"a": torch.ones(2)}, blobs / "123")
    (snapshot / "part-1").symlink_to("../../blobs/123")
    (snapshot / "x.json").write_text(json.dumps({"weight_map": {"a": "part-1"}}))
    assert set(read_parts(snapshot / "x.json", read_safetensors)) == {"a"}


def test_configs_that_lie(tmp_path: Path) -> None:
    """A small folder whose config speaks of a model that no machine holds."""
    config = ViViTConfig(
        frames=4, size=8, tubelet=(2, 4, 4), width=16, depth=1, heads=2, hidden=24, classes=(3,)
    )
    folder = tmp_path / "model"
    Classifier(ViViT(config), View.scenic(frames=4, size=8, resize=10), Labels.numbered((3,))).save(folder)
    whole = json.loads((folder / "config.json").read_text())
    for changed in (
        {"depth": 2**20},
        {"depth": 10**9},
        {"width": 2**20, "hidden": 2**20},
        {"frames": 2**20, "size": 2**20, "positions": "sinusoidal_1d"},
        {"sampled_frames": 2**60, "frames": 2**61, "tubelet": [1, 4, 4]},
        {"heads": 3},
        {"classes": 5},
        {"unknown": 1},
        {"depth": "many"},
    ):
        (folder / "config.json").write_text(json.dumps(whole | {"model": whole["model"] | changed}))
        with pytest.raises(WeightsError, match="model"):
            tubelet.load(folder)
    for part in ("model", "view", "labels"):
        for wrong in (None, [], {}, 5, "text"):
            (folder / "config.json").write_text(json.dumps(whole | {part: wrong}))
            with pytest.raises(WeightsError, match="model"):
                tubelet.load(folder)
