"""Weights files into plain dicts of tensors. Nothing from a file is ever executed; see `safety.py`."""

import json
import math
import mmap
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import msgpack
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.safety import (
    DTYPES,
    MOST_TENSORS,
    check_archive,
    check_pickles,
    check_regular,
    check_tensors,
    part_of,
)

MOST_JSON_BYTES = 2**23
NPY_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|=][biufV]\d{1,2})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>\d{0,15}(, ?\d{1,15})*,?)\),? ?\} *\n?"
)
"""What stands before the bytes of an array of numbers."""
MOST_IN_ONE = 4096
"""Entries of one map or list of a flax file. The deepest of the paper's models has 48 in one."""
MOST_DEEP = 64
"""Maps in maps of a flax file."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in memory of their own.

    The file is mapped anew from time to time: what was mapped and read counts as memory until it is unmapped, and
    a mapped tensor would end the process if the file were cut short under it.
    """
    tensors: dict[str, Tensor] = {}
    try:
        size = check_regular(path)
        with safe_open(path, "pt") as file:
            names = list(file.keys())
        if len(names) > MOST_TENSORS:
            raise ValueError(f"it holds {len(names):,} tensors; at most {MOST_TENSORS:,} are taken")
        with ExitStack() as mapping:
            file, taken = mapping.enter_context(safe_open(path, "pt")), 0
            for name in names:
                if taken > 2**24:
                    mapping.close()
                    file, taken = mapping.enter_context(safe_open(path, "pt")), 0
                tensors[name] = file.get_tensor(name).clone()
                taken += tensors[name].nbytes
        check_tensors(tensors, size)
    except Exception as error:  # see read_pickle
        raise WeightsError(f"{path} cannot be read as safetensors: {first_line(error)}.") from error
    return tensors


def read_pickle(path: Path) -> dict[str, Tensor]:
    """All tensors of a PyTorch file, read by the unpickler that makes tensors and plain containers only.

    Of a whole training's checkpoint these are the model's, and of DINO's the teacher's, which is the one its authors
    evaluate. The training's arguments, an `argparse.Namespace` there, hold values only and are not looked at.
    """
    try:
        size = check_regular(path)
        check_pickles(path, size)
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is damaged can fail in any way at all
        raise WeightsError(
            f"{path} cannot be read as PyTorch weights without running its code: {first_line(error)}."
        ) from error
    for key in ("teacher", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} holds no dict of tensors.")
    tensors: dict[str, Tensor] = {str(name): tensor.detach() for name, tensor in content.items()}
    try:
        check_tensors(tensors, size)
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read as PyTorch weights: {error}.") from error
    return tensors


def first_line(error: Exception) -> str:
    """What an error says first, without its full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    try:
        if check_regular(path) > MOST_JSON_BYTES:
            raise ValueError(f"it has more than {MOST_JSON_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {first_line(error)}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object.")
    return content


def read_parts(index: Path, reader: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """All tensors of the parts that an index, such as `model.safetensors.index.json`, names.

    Raises:
        WeightsError: if it names anything but files of its own folder, or one of them cannot be read.
    """
    parts = read_json(index).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise WeightsError(f"{index} names no parts: its weight_map is missing, empty or no object.")
    try:
        files = {str(name): part_of(index.parent, name) for name in parts.values()}
    except (ValueError, OSError) as error:
        raise WeightsError(f"{index} cannot be followed: {error}.") from error
    tensors: dict[str, Tensor] = {}
    for name in sorted(files):
        tensors |= reader(files[name])
    return tensors


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a NumPy archive, by their names without `.npy`.

    Arrays of the type `V2` are bfloat16: that is how JAX's come out of NumPy. Objects and text are refused.

    Raises:
        WeightsError: if it is no such archive, is damaged, or holds anything else; or unpacks to far more than
            its own size.
    """
    arrays: dict[str, Tensor] = {}
    try:
        size = check_regular(path)
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, size)
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename:
                    raise ValueError(f"the member {name!r} is no array")
                with archive.open(member) as stream:
                    arrays[name] = read_npy(stream, member.file_size, name)
        check_tensors(arrays, size)
    except Exception as error:  # see read_pickle
        raise WeightsError(f"{path} cannot be read as a NumPy archive: {first_line(error)}.") from error
    return arrays


def read_npy(stream: IO[bytes], size: int, name: str) -> Tensor:
    """One array of a NumPy archive; `size` is the bytes that its member says it has."""
    magic = stream.read(8)
    length = int.from_bytes(stream.read(2 if magic[6:7] == b"\1" else 4), "little")
    header = NPY_HEADER.fullmatch(stream.read(length).decode("latin-1"))
    if magic[:6] != b"\x93NUMPY" or header is None:
        raise ValueError(f"the member {name!r} is no array of numbers")
    dtype, fortran = np.dtype(header["dtype"]), header["fortran"] == "True"
    shape = tuple(int(number) for number in re.findall(r"\d+", header["shape"]))
    brain = dtype == np.dtype("V2")
    if dtype.newbyteorder("=").name not in DTYPES and not brain:
        raise ValueError(f"the array {name!r} is of type {dtype}, not one of {', '.join(DTYPES)}")
    if math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"the array {name!r} of shape {shape} has {size - stream.tell()} bytes")
    flat = bytearray(math.prod(shape) * dtype.itemsize)
    view, done = memoryview(flat), 0
    while done < len(flat):
        count = stream.readinto(view[done : done + 2**20])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise ValueError(f"the array {name!r} ends after {done} of {len(flat)} bytes")
        done += count
    array = np.frombuffer(flat, np.dtype(np.int16) if brain else dtype)
    array = array.reshape(shape, order="F" if fortran else "C")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(shape)
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if brain else tensor


def read_msgpack(path: Path) -> dict[str, Any]:
    """A flax msgpack file as a tree of dicts of tensors.

    Raises:
        WeightsError: if it is no such file, is damaged, or is larger inside than any checkpoint is.
    """
    count = 0

    def counted(entries: list[Any]) -> list[Any]:
        nonlocal count
        count += len(entries)
        if count > 5 * MOST_TENSORS:
            raise ValueError(f"it has more than {5 * MOST_TENSORS:,} entries")
        return entries

    def counted_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        return dict(counted(pairs))

    try:
        check_regular(path)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            tree = msgpack.unpackb(
                data,
                ext_hook=unpack_extension,
                object_pairs_hook=counted_map,
                list_hook=counted,
                max_array_len=MOST_IN_ONE,
                max_map_len=MOST_IN_ONE,
                strict_map_key=False,
                raw=False,
            )
        tree = join_chunks(tree)
    except Exception as error:  # see read_pickle
        raise WeightsError(
            f"{path} cannot be read as a flax msgpack checkpoint: {first_line(error)}. Other formats are known by "
            "their endings: .safetensors, .bin, .pt, .pth, .npz."
        ) from error
    if not isinstance(tree, dict):
        raise WeightsError(f"{path} holds no msgpack map, so it is no checkpoint.")
    return tree


def unpack_extension(code: int, payload: bytes) -> Any:
    """An array, a complex number or a NumPy scalar, as flax writes them."""
    if code in (1, 3):
        return unpack_array(payload)
    if code == 2:
        return complex(*msgpack.unpackb(payload))
    raise ValueError(f"extension type {code} is not one of flax's")


def unpack_array(payload: bytes) -> Tensor:
    """Flax's extension type 1: (shape, dtype name, little-endian bytes in C order)."""
    shape, dtype, data = msgpack.unpackb(payload, raw=True, max_array_len=64)
    name = dtype.decode("ascii", "replace")
    if name not in DTYPES:
        raise ValueError(f"an array of type {name!r} is not among {', '.join(DTYPES)}")
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    if math.prod(shape) * DTYPES[name].itemsize != len(data):
        raise ValueError(f"an array of shape {shape} and type {name} has {len(data):,} bytes")
    if not data:
        return torch.empty(shape, dtype=DTYPES[name])
    return torch.frombuffer(bytearray(data), dtype=DTYPES[name]).reshape(shape)


def join_chunks(tree: Any, deep: int = 0) -> Any:
    """Put arrays together that flax cut into chunks because of their size."""
    if not isinstance(tree, dict):
        return tree
    if deep > MOST_DEEP:
        raise ValueError(f"it nests more than {MOST_DEEP} maps in each other")
    if "__msgpack_chunked_array__" not in tree:
        return {str(key): join_chunks(value, deep + 1) for key, value in tree.items()}
    shape, chunks = ([tree[k][str(i)] for i in range(len(tree[k]))] for k in ("shape", "chunks"))
    if not chunks or not all(
        isinstance(chunk, Tensor) and chunk.dtype == chunks[0].dtype for chunk in chunks
    ):
        raise ValueError("an array in chunks whose chunks are no arrays of one type")
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise ValueError(f"an array in chunks of shape {shape}")
    found = sum(chunk.numel() for chunk in chunks)
    if math.prod(shape) != found:
        raise ValueError(f"an array in chunks of shape {shape} has {found:,} numbers")
    return torch.cat([chunk.flatten() for chunk in chunks]).reshape(shape)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """A tree of arrays as tensors named by their keys, joined with `/`."""
    flat: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, Tensor):
            flat[prefix + key] = value
    return flat
