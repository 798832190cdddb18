"""Where a server puts files for a moment: a folder of its own, which a later server removes where this one died.

Uploads are in it without a name, so that nothing is left of them whatever happens. Films have a name while they are
written.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tubelet.errors import ConfigError

LOCK = "lock"
"""A file that a server holds locked as long as it lives."""


class Scratch:
    """A folder below one that all servers of a user share.

    Args:
        shared: that one. None: `tubelet-serve-USER` in the system's folder for such.

    Raises:
        ConfigError: if it belongs to somebody else.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.shared = shared or Path(tempfile.gettempdir(), f"tubelet-serve-{os.getuid()}")
        self.shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.shared.lstat()
        if self.shared.is_symlink() or status.st_uid != os.getuid():
            raise ConfigError(f"{self.shared} belongs to somebody else: give another folder with --scratch.")
        self.remove_leftovers()
        self.folder = Path(tempfile.mkdtemp(prefix="server-", dir=self.shared))
        self._lock: IO[bytes] | None = (self.folder / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove_leftovers(self) -> None:
        """Those of servers that live no more."""
        for folder in self.shared.glob("server-*"):
            # A folder without a lock is of a server that begins right now, or died right then.
            with suppress(OSError), (folder / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)

    def file(self) -> IO[bytes]:
        """A new file without a name."""
        return tempfile.TemporaryFile(dir=self.folder)

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
