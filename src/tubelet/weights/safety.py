"""What a file may ask of the machine: checks before and after reading, so that no file takes the process down.

Every check raises ValueError; the readers in `files.py` say which file it was.
"""

import os
import pickletools
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import torch
from torch import Tensor

MOST_TENSORS = 20_000
"""Tensors of one file. The largest model of the paper, with all its optimizer's state, has 3,000."""
MOST_GROWTH = 16
SMALL_BYTES = 2**26
"""An archive may unpack to this many times its own size, and these bytes more."""
MOST_OPCODES = 500_000
MOST_NESTING = 100
"""Steps of a pickle, and how deeply its values may hold each other. A tensor takes about 30 steps."""


def stack_effect(opcode: pickletools.OpcodeInfo) -> tuple[bool, int, int]:
    """Of a step of a pickle: whether it takes all above a mark, what else it takes, and how many values it leaves."""
    before = opcode.stack_before
    if pickletools.markobject in before:
        return True, before.index(pickletools.markobject), len(opcode.stack_after)
    return False, len(before), len(opcode.stack_after)


STACK_EFFECTS = {opcode.name: stack_effect(opcode) for opcode in pickletools.opcodes}

DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
    "bool": torch.bool,
}
"""The types of numbers that are read, by the names that NumPy and JAX give them."""


def check_regular(path: Path) -> int:
    """Refuse what is empty or no regular file, such as a folder, a pipe or a device; returns the size in bytes."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if status.st_size == 0:
        raise ValueError("it is empty")
    return status.st_size


def check_growth(unpacked: int, size: int) -> None:
    """Refuse to unpack far more bytes than a file has, as weights never do."""
    most = MOST_GROWTH * size + SMALL_BYTES
    if unpacked > most:
        raise ValueError(f"it says it unpacks to {unpacked:,} bytes; at most {most:,} are taken")


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip file of `size` bytes that unpacks to far more, or whose members lie outside it or twice."""
    members = archive.infolist()
    check_growth(sum(member.file_size for member in members), size)
    names: set[str] = set()
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise ValueError(f"its member {member.filename!r} points outside of it")
        if member.filename.lower() in names:
            raise ValueError(f"its member {member.filename!r} is there twice")
        names.add(member.filename.lower())


def check_pickles(path: Path, size: int) -> None:
    """Refuse a PyTorch file whose pickles nest deeply or are endless.

    PyTorch's own reader runs no code of a file, but a tuple of tuples of tuples ... as the key of a dict overflows
    the stack and ends the process.
    """
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\3\4"
        if not zipped:
            stream.seek(0)
            for _ in range(
                5
            ):  # a magic number, a version, the machine, the weights, the names of their storages
                check_pickle(stream)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, size)
            for member in archive.infolist():
                if member.filename.lower().endswith(".pkl"):
                    with archive.open(member) as stream:
                        check_pickle(stream)


def check_pickle(stream: IO[bytes]) -> None:
    """Refuse one pickle, up to its end, that nests deeply or has too many steps. Nothing of it is done."""
    depths: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if step > MOST_OPCODES:
            raise ValueError(f"its pickle has more than {MOST_OPCODES:,} steps")
        name = opcode.name
        if name == "MARK":
            marks.append(len(depths))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = depths[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            depths.append(memo[int(argument or 0)])
        else:
            above, taken, left = STACK_EFFECTS[name]
            start = (marks.pop() if above else len(depths)) - taken
            if start < 0:
                raise ValueError("its pickle takes what is not there")
            depth = 1 + max(depths[start:], default=-1)
            if depth > MOST_NESTING:
                raise ValueError(f"its pickle nests more than {MOST_NESTING} values in each other")
            depths[start:] = [depth] * left


def check_tensors(tensors: Mapping[str, Tensor], size: int) -> None:
    """Refuse tensors that are not what a file of `size` bytes can hold: more of them or larger, empty, or lying."""
    if len(tensors) > MOST_TENSORS:
        raise ValueError(f"it holds {len(tensors):,} tensors; at most {MOST_TENSORS:,} are taken")
    held: dict[int, int] = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"its tensor {name!r} is no plain array of numbers")
        if tensor.dtype not in DTYPES.values():
            raise ValueError(f"its tensor {name!r} is of type {tensor.dtype}, not one of {', '.join(DTYPES)}")
        storage = tensor.untyped_storage()
        if tensor.numel() == 0 or tensor.nbytes > storage.nbytes():
            raise ValueError(
                f"its tensor {name!r} of shape {list(tensor.shape)} has {storage.nbytes()} bytes"
            )
        held[storage.data_ptr()] = storage.nbytes()
    check_growth(sum(held.values()), size)


def part_of(folder: Path, name: object) -> Path:
    """A file that an index names, which must lie in the index's own folder.

    In the Hub's cache the files of a folder are links into `blobs` beside it: these count as inside.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
        raise ValueError(f"it names a file outside its folder: {name!r}")
    found, here = Path(os.path.realpath(folder / name)), Path(os.path.realpath(folder))
    if found.parent not in (here, here.parents[1] / "blobs" if len(here.parents) > 1 else here):
        raise ValueError(f"its file {name!r} is a link to outside its folder")
    return folder / name
