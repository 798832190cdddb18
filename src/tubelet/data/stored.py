"""`Stored`: where in a larger file the bytes of a clip are, on the disk or behind HTTP."""

import time
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tubelet.errors import DataError, DecodeError

ATTEMPTS = 4
"""How often a server is asked before it counts as unreachable."""
PAUSE_SECONDS = 0.5
"""Before a server is asked the second time; each further pause is twice as long."""
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The bytes of a clip in a shard."""

    file: str
    """The shard: a path, or a URL of a server that answers range requests."""
    offset: int
    """Bytes before the clip."""
    length: int
    """Bytes of the clip."""
    crc32: int
    """Checksum of these bytes."""

    def read(self) -> bytes:
        """The bytes.

        Raises:
            DataError: if the shard cannot be reached: training would go on without its clips unseen.
            DecodeError: if these are not the bytes that were written.
        """
        found = read_range(self.file, self.offset, self.length)
        if len(found) != self.length or zlib.crc32(found) != self.crc32:
            raise DecodeError(
                f"{self.file}: the {self.length} bytes from {self.offset} on are not what was written there."
            )
        return found


def is_url(place: str) -> bool:
    """Whether a place is behind HTTP."""
    return place.startswith(("http://", "https://"))


def read_range(file: str, offset: int = 0, length: int | None = None) -> bytes:
    """Bytes of a file or URL, from `offset` on; None: to its end. May be fewer where the file ends before.

    Raises:
        DataError: if there is no such file, or the server does not give what it is asked for.
    """
    if is_url(file):
        return fetch(file, offset, length)
    try:
        with open(file, "rb") as opened:
            opened.seek(offset)
            return opened.read(-1 if length is None else length)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def fetch(url: str, offset: int, length: int | None) -> bytes:
    """A part of a file behind HTTP; a server that fails for the moment is asked again."""
    headers = {} if length is None else {"Range": f"bytes={offset}-{offset + length - 1}"}
    for attempt in range(ATTEMPTS):
        try:
            with urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
                if length is not None and answer.status != 206:
                    raise DataError(
                        f"{url}: the server sends whole files only (a range request gives {answer.status}); "
                        "copy the shards to the disk, or serve them from a server that knows range requests."
                    )
                return answer.read()
        except (HTTPException, OSError) as error:
            refused = isinstance(error, HTTPError) and error.code < 500 and error.code not in (408, 429)
            if refused or attempt == ATTEMPTS - 1:
                raise DataError(f"{url} cannot be read: {error}.") from error
            time.sleep(PAUSE_SECONDS * 2**attempt)
    raise AssertionError("the last attempt returns or raises")
