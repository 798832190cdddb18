"""The video in the body of a request: counted while it arrives, written into a file without a name."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from tubelet.serving.places import too_large
from tubelet.serving.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

TOGETHER = 2**20
"""Bytes that are written at a time, by a thread."""
AROUND = 2**16
"""Bytes of a body that are not the file."""
LONGEST_NAME = 200
LONGEST_HEADER, MOST_HEADERS = 4096, 16
"""Of a part of a form."""


@dataclass
class Parts:
    """What a parser found of a form: the file's pieces, until they are taken."""

    pieces: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    """Of `pieces`."""
    total: int = 0
    name: str | None = None
    """The file's; None: there was none yet."""
    ended: bool = False
    _inside: bool = False
    _field: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _headers: dict[str, str] = field(default_factory=dict[str, str])

    def callbacks(self) -> "MultipartCallbacks":
        """What a parser is to call."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_headers_finished": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _header_field(self, data: bytes, begin: int, end: int) -> None:
        self._extend(self._field, data[begin:end])

    def _header_value(self, data: bytes, begin: int, end: int) -> None:
        self._extend(self._value, data[begin:end])

    def _extend(self, kept: bytearray, more: bytes) -> None:
        if len(kept) + len(more) > LONGEST_HEADER or len(self._headers) > MOST_HEADERS:
            raise Problem("config", "The form has headers that are too long.")
        kept.extend(more)

    def _header(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._field.clear()
        self._value.clear()

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._inside = options.get(b"name") == b"file"
        if self._inside and self.name is not None:
            raise Problem("config", "The form has two fields `file`; send one video at a time.")
        if self._inside:
            self.name = shown_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, begin: int, end: int) -> None:
        if self._inside:
            self.pieces.append(data[begin:end])
            self.size += end - begin
            self.total += end - begin

    def _end_part(self) -> None:
        self._inside = False

    def _end(self) -> None:
        self.ended = True


def shown_name(name: str) -> str:
    """A file's name as messages show it: no folders, nothing that cannot be printed, not too long."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    return "".join(c for c in last if c.isprintable())[:LONGEST_NAME] or "the video"


async def receive(
    body: AsyncIterator[bytes], content_type: str, announced: str | None, file: IO[bytes], most_bytes: int
) -> str:
    """Write the field `file` of a form into a file.

    Args:
        body: the pieces of the request's body.
        content_type: its header.
        announced: the header Content-Length.
        file: where to.
        most_bytes: of it.

    Returns:
        The name that the file has where it came from.

    Raises:
        Problem: too_large before anything beyond the limit is written; config for a body that is no such form.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise Problem(
            "config", "The form has no boundary; send the video as multipart/form-data, field `file`."
        )
    if announced is not None and announced.isdecimal() and int(announced) > most_bytes + AROUND:
        raise too_large(most_bytes)
    parts = Parts()
    arrived = 0
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for piece in body:
            arrived += len(piece)
            parser.write(piece)
            if parts.total > most_bytes or arrived > most_bytes + AROUND:
                raise too_large(most_bytes)
            if parts.size >= TOGETHER:
                await write(parts, file)
        parser.finalize()
    except MultipartParseError as error:
        raise Problem("config", "The form is not whole, or not well formed.") from error
    if parts.name is None or not parts.ended:
        raise Problem("config", "The form is not whole, or has no field `file` with a video.")
    if not parts.total:
        raise Problem("decode", f"{parts.name}: the file is empty (0 bytes).")
    await write(parts, file)
    await asyncio.to_thread(file.flush)
    return parts.name


async def write(parts: Parts, file: IO[bytes]) -> None:
    """Write the pieces that are there, in a thread: a disk may be slow."""
    pieces, parts.pieces, parts.size = parts.pieces, [], 0
    await asyncio.to_thread(file.write, b"".join(pieces))
