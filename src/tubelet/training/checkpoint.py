"""Checkpoints on the disk: whole or not there at all.

A file is named by its step and by the digest of its bytes, `00001200-9f3b52d08c1ee7a4.pt`. It is written beside its
place, forced to the disk, and renamed: whenever the machine stops, each file under its own name is whole. Whether the
disk has kept it is seen by the digest.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from tubelet.errors import TubeletError

NAME = re.compile(r"(\d{8,})-([0-9a-f]{16})\.pt")
PART = "part"
"""Suffix of a file that is being written."""


class Hashing:
    """A file to write to that digests what it is given, and keeps an error until it is asked for.

    torch's own writer must not meet an exception halfway.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.blake2b(digest_size=8)
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write; after an error nothing more."""
        if self.error is None:
            try:
                self.file.write(data)
                self.digest.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        if self.error is None:
            try:
                self.file.flush()
            except OSError as error:
                self.error = error


@dataclass(frozen=True)
class Checkpoints:
    """The last checkpoints of a run, in a folder of their own."""

    folder: Path
    keep: int = 2
    """How many of them stay."""

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Put a checkpoint on the disk, then remove the oldest beyond `keep`.

        Raises:
            TubeletError: if the disk does not take it. The checkpoints that were there stay.
        """
        scratch = self.folder / f"{step:08}.{PART}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as opened:
                file = Hashing(opened)
                torch.save(state, file)  # pyright: ignore[reportArgumentType]  # it wants write and flush only
                file.flush()
                if file.error is not None:
                    raise file.error
                os.fsync(opened.fileno())
            place = self.folder / f"{step:08}-{file.digest.hexdigest()}.pt"
            scratch.replace(place)
            sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            last = self.files()[-1:]
            stays = f"The last checkpoint, {last[0]}, is whole" if last else "There is no earlier one"
            raise TubeletError(
                f"A checkpoint cannot be written to {self.folder}: {error}. {stays}. Make room, then give the same "
                "command again."
            ) from error
        for old in self.files()[: -self.keep]:
            if old != place:
                old.unlink(missing_ok=True)
        return place

    def files(self) -> list[Path]:
        """All that are there, the newest last; whether they are whole is not looked at."""
        if not self.folder.is_dir():
            return []
        return sorted(
            (file for file in self.folder.iterdir() if NAME.fullmatch(file.name)),
            key=lambda file: (step_of(file), file.stat().st_mtime_ns),
        )

    def newest(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest one that is whole, its tensors in main memory; None if there is none.

        A damaged one is named, and put aside under `.damaged`; what a kill left half written is removed.
        """
        if self.folder.is_dir():
            for left in self.folder.glob(f"*.{PART}"):
                left.unlink()
        for file in reversed(self.files()):
            why = damage(file)
            if why is None:
                return torch.load(file, map_location="cpu", weights_only=True)
            aside = file.with_suffix(".damaged")
            file.replace(aside)
            say(f"The checkpoint {file.name} is damaged ({why}): left out, and kept as {aside.name}.")
        return None


def step_of(file: Path) -> int:
    """The step in a checkpoint's name."""
    found = NAME.fullmatch(file.name)
    assert found is not None
    return int(found[1])


def damage(file: Path) -> str | None:
    """What is wrong with a checkpoint's bytes; None if nothing is."""
    found = NAME.fullmatch(file.name)
    assert found is not None
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    except OSError as error:
        return str(error)
    return None if digest == found[2] else f"its bytes have the digest {digest}"


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
