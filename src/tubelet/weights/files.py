"""Weights files into plain dicts of tensors. Nothing from a file is ever executed."""

import json
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgpack
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tubelet.errors import WeightsError

DTYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool",
)
MOST_GROWTH = 16
SMALL_BYTES = 2**26
"""An archive may unpack to this many times its own size, and these bytes more."""
NPY_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|=][biufV]\d{1,2})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>\d{0,15}(, ?\d{1,15})*,?)\),? ?\} *\n?"
)
"""What stands before the bytes of an array of numbers."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}.") from error


def read_pickle(path: Path) -> dict[str, Tensor]:
    """All tensors of a PyTorch file, read by the unpickler that makes tensors and plain containers only."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as PyTorch weights without running its code: {reason}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} holds no dict of tensors.")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object.")
    return content


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a NumPy archive, by their names without `.npy`.

    Arrays of the type `V2` are bfloat16: that is how JAX's come out of NumPy. Objects and text are refused.

    Raises:
        WeightsError: if it is no such archive, is damaged, or holds anything else; or unpacks to far more than
            its own size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_growth(sum(member.file_size for member in members), path)
            arrays: dict[str, Tensor] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays:
                    raise ValueError(f"the member {member.filename!r} is no array, or is there twice")
                with archive.open(member) as stream:
                    arrays[name] = read_npy(stream, member.file_size, name)
    except (
        OSError, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError, MemoryError,
        zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    ) as error:  # fmt: skip
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} cannot be read as a NumPy archive: {reason}.") from error
    return arrays


def check_growth(unpacked: int, path: Path) -> None:
    """Refuse an archive that unpacks to far more than its own size, as weights never do.

    Raises:
        ValueError: if so.
    """
    most = MOST_GROWTH * path.stat().st_size + SMALL_BYTES
    if unpacked > most:
        raise ValueError(f"it says it unpacks to {unpacked:,} bytes; at most {most:,} are taken")


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


def unpack_array(payload: bytes) -> np.ndarray:
    """Flax's extension type 1: (shape, dtype name, little-endian bytes in C order)."""
    shape, dtype, data = msgpack.unpackb(payload, raw=True, use_list=True)
    name = dtype.decode("ascii", "replace")
    if name not in DTYPES:
        raise WeightsError(f"an array of type {name!r} is not among {', '.join(DTYPES)}")
    return np.frombuffer(data, dtype=np.dtype(name).newbyteorder("<")).reshape(shape).astype(name)


def unpack_extension(code: int, payload: bytes) -> Any:
    """An array, a complex number or a NumPy scalar, as flax writes them."""
    if code in (1, 3):
        return unpack_array(payload)
    if code == 2:
        return complex(*msgpack.unpackb(payload))
    raise WeightsError(f"extension type {code} is not one of flax's")


def join_chunks(tree: Any) -> Any:
    """Put arrays together that flax cut into chunks because of their size."""
    if not isinstance(tree, dict):
        return tree
    if tree.get("__msgpack_chunked_array__"):
        shape, chunks = ([d[str(i)] for i in range(len(d))] for d in (tree["shape"], tree["chunks"]))
        return np.concatenate(chunks).reshape([int(n) for n in shape])
    return {str(key): join_chunks(value) for key, value in tree.items()}


def read_msgpack(path: Path) -> dict[str, Any]:
    """A flax msgpack file as a tree of dicts of NumPy arrays."""
    try:
        data = path.read_bytes()
        tree = msgpack.unpackb(data, ext_hook=unpack_extension, strict_map_key=False, raw=False)
        tree = join_chunks(tree)
    except (ValueError, TypeError, KeyError, OSError, msgpack.UnpackException, WeightsError) as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} cannot be read as a flax msgpack checkpoint: {reason}.") from error
    if not isinstance(tree, dict):
        raise WeightsError(f"{path} holds no msgpack map, so it is no checkpoint.")
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """A tree of arrays as tensors named by their keys, joined with `/`."""
    flat: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, np.ndarray):
            flat[prefix + key] = torch.from_numpy(value)
    return flat
