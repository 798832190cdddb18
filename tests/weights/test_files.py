"""Reading is safe: what is damaged or hostile is a WeightsError, and nothing in it runs."""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tubelet.errors import WeightsError
from tubelet.weights.files import (
    flatten,
    read_json,
    read_msgpack,
    read_npz,
    read_pickle,
    read_safetensors,
)


def pack_array(array: np.ndarray) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def test_arrays_scalars_and_chunks(tmp_path: Path) -> None:
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    chunked = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 3},
        "chunks": {"0": pack_array(whole.ravel()[:4]), "1": pack_array(whole.ravel()[4:])},
    }
    tree = {"a": {"b": pack_array(whole), "c": chunked}, "step": 7, "empty": {}}
    file = tmp_path / "checkpoint"
    file.write_bytes(msgpack.packb(tree))
    tensors = flatten(read_msgpack(file))
    assert set(tensors) == {"a/b", "a/c"}
    assert torch.equal(tensors["a/b"], torch.from_numpy(whole))
    assert torch.equal(tensors["a/c"], torch.from_numpy(whole))


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_hostile_pickle_does_not_run(tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.bin"
    file.write_bytes(pickle.dumps({"weight": Evil(f"touch {marker}")}, protocol=2))
    with pytest.raises(WeightsError, match="without running its code"):
        read_pickle(file)
    torch.save({"weight": Evil(f"touch {marker}")}, file)
    with pytest.raises(WeightsError, match="without running its code"):
        read_pickle(file)
    assert not marker.exists()


@pytest.mark.parametrize("reader", [read_safetensors, read_pickle, read_msgpack, read_npz, read_json])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"hello there", b"\xff" * 2000, b"PK\x03\x04broken"])
def test_what_is_no_such_file(tmp_path: Path, reader: Any, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="file"):
        reader(file)
    with pytest.raises(WeightsError):
        reader(tmp_path / "missing")


def test_msgpack_bombs(tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    deep = b"\x81\xa1a" * 100_000 + b"\x80"
    huge_map = b"\xdf\xff\xff\xff\xff"
    huge_bytes = b"\x81\xa1a\xc6\xff\xff\xff\xff"
    lying = msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb(([10**6, 10**6], "float32", b"1234")))})
    objects = msgpack.packb({"a": msgpack.ExtType(1, msgpack.packb(([1], "object", b"12345678")))})
    for content in (deep, huge_map, huge_bytes, lying, objects):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match="bomb"):
            read_msgpack(file)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Any) -> None:
    """Every kind of number, order of bytes and order of axes."""
    rng = np.random.default_rng(0)
    arrays = {
        "a/b": rng.random((3, 4), np.float32),
        "columns first": np.asfortranarray(rng.random((3, 4))),
        "big-endian": np.arange(5, dtype=">f4"),
        "scalar": np.array(3),
        "zeros": np.zeros((1000, 1000), np.float32),  # compresses a thousandfold
    }
    brain = {"brain": np.array([0x3F80, 0x4000], np.uint16).view("V2")}
    save(tmp_path / "x.npz", **arrays, **brain)
    tensors = read_npz(tmp_path / "x.npz")
    assert tensors.pop("brain").tolist() == [1, 2]
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert tensors[name].shape == array.shape
        assert np.array_equal(tensors[name].numpy(), array)


def test_npz_bombs(tmp_path: Path) -> None:
    file = tmp_path / "bomb.npz"

    def header(shape: tuple[int, ...], descr: Any = "<f4") -> bytes:
        stream = io.BytesIO()
        values = {"shape": shape, "fortran_order": False, "descr": descr}
        np.lib.format.write_array_header_2_0(stream, values)  # pyright: ignore[reportArgumentType]
        return stream.getvalue()

    contents = {
        "a lying shape": {"a.npy": header((10**9, 10**9)) + b"1234"},
        "nothing": {"a.npy": header((0, 10**12))},
        "a shape below nothing": {"a.npy": header((-1, -1)) + b"1234"},
        "objects": {"a.npy": header((1,), "|O") + pickle.dumps(Evil(f"touch {tmp_path / 'ran'}"))},
        "text": {"a.npy": header((1,), "<U5") + b"x" * 20},
        "a path": {"../../escaped.txt": b"x"},
        "zeros": {"a.npy": header((2**25,)) + bytes(2**27)},
        "brackets": {"a.npy": b"\x93NUMPY\x01\x00\xf0\x1f" + b"(" * 8176},
    }
    for members in contents.values():
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with pytest.raises(WeightsError, match="bomb"):
            read_npz(file)
    assert not (tmp_path / "ran").exists()


def test_truncated_and_flipped_files(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    save_file({"a": torch.zeros(100)}, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with pytest.raises(WeightsError):
        read_safetensors(file)
    file.write_bytes(bytes([whole[0] ^ 0xFF]) + whole[1:])
    with pytest.raises(WeightsError):
        read_safetensors(file)


def test_a_zip_that_points_outside_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../escaped", b"x")
    with pytest.raises(WeightsError):
        read_pickle(file)
    assert not (tmp_path.parent.parent / "escaped").exists()


def test_pickle_containers(tmp_path: Path) -> None:
    for content in (
        {"state_dict": {"a": torch.ones(2)}},
        {"model": {"a": torch.ones(2)}},
        {"a": torch.ones(2)},
    ):
        torch.save(content, tmp_path / "x.pth")
        assert read_pickle(tmp_path / "x.pth")["a"].tolist() == [1, 1]
    torch.save([1, 2], tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no dict of tensors"):
        read_pickle(tmp_path / "x.pth")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_msgpack(tmp_path: Path, data: st.DataObject) -> None:
    """Any bit flipped, anywhere cut: a tree or a WeightsError, nothing else."""
    good = msgpack.packb({"params": {"a": pack_array(np.ones((2, 2), np.float32)), "b": {"c": 1}}})
    content = bytearray(good[: data.draw(st.integers(1, len(good)))])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file = tmp_path / "fuzz"
    file.write_bytes(content)
    with contextlib.suppress(WeightsError):
        flatten(read_msgpack(file))
