"""Files below a folder, asked for by a stranger."""

import os
import stat
from pathlib import Path, PurePath, PureWindowsPath
from typing import BinaryIO

from tubelet.serving.problems import Problem


def below(root: Path, given: str) -> Path:
    """The real place of a path below a folder.

    Args:
        root: the folder.
        given: relative to it.

    Raises:
        Problem: refused, for what leads out of it; not_found.
    """
    path = PurePath(given)
    odd = not given or any(ord(c) < 32 for c in given) or PureWindowsPath(given).drive
    if odd or path.is_absolute() or ".." in path.parts:
        raise Problem("refused", "A path is relative to the folder of videos, and does not lead out of it.")
    real_root = root.resolve()
    try:
        real = (real_root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise Problem("not_found", f"There is no {given!r} in the folder.") from None
    if not real.is_relative_to(real_root):
        raise Problem("refused", "This path leads out of the folder.")
    return real


def open_below(root: Path, given: str, most_bytes: int) -> BinaryIO:
    """A regular file below a folder, opened.

    Raises:
        Problem: refused, not_found or too_large.
    """
    real = below(root, given)
    try:
        if not stat.S_ISREG(real.lstat().st_mode):
            raise Problem("refused", f"{given!r} is no file.")
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise Problem("not_found", f"There is no {given!r} in the folder that can be read.") from None
    file = os.fdopen(descriptor, "rb")
    status = os.fstat(descriptor)
    # Whoever may write in the folder could have exchanged it between the look and the opening.
    came_from = Path(f"/proc/self/fd/{descriptor}")
    moved = came_from.exists() and not came_from.resolve().is_relative_to(root.resolve())
    if moved or not stat.S_ISREG(status.st_mode):
        file.close()
        raise Problem("refused", f"{given!r} is no file of the folder.")
    if status.st_size > most_bytes:
        file.close()
        raise too_large(most_bytes)
    return file


def too_large(most_bytes: int) -> Problem:
    """The answer to a file of too many bytes."""
    return Problem("too_large", f"The file has more than the {most_bytes:,} bytes that are taken.")
