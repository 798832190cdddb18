"""The video that a request brings or names."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

from fastapi import Request

from tubelet.serving.addresses import Fetch, is_public, resolve
from tubelet.serving.places import open_below
from tubelet.serving.problems import Problem
from tubelet.serving.samples import sample_of
from tubelet.serving.service import Service
from tubelet.serving.upload import receive, shown_name

MOST_JSON = 2**16
"""Bytes of a body that names a video."""
WAYS = (
    "Send a video as multipart/form-data in the field `file`, or JSON with one of `path`, `url` and `sample`, "
    'such as {"sample": "pan_left"}.'
)


@dataclass(frozen=True)
class Given:
    """A video, open, to be closed by who asked for it."""

    name: str
    """What messages call it."""
    file: IO[bytes]


@dataclass(frozen=True)
class Net:
    """How addresses are looked up, and which may be connected to."""

    resolver: Callable[[str, int], list[str]] = resolve
    allowed: Callable[[str], bool] = is_public


async def given_video(request: Request, service: Service, deadline: float, net: Net) -> Given:
    """The video of a request.

    Raises:
        Problem: whatever is wrong with it.
        ClientDisconnect: if the client is gone.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "multipart/form-data":
        file = service.scratch.file()
        try:
            announced = request.headers.get("content-length")
            most = service.settings.limits.bytes
            return Given(await receive(request.stream(), kind, announced, file, most), file)
        except BaseException:
            file.close()
            raise
    way, value = await named(request)
    if way == "sample":
        return Given(value, await asyncio.to_thread(sample_of(value).file.open, "rb"))
    if way == "path":
        root = service.settings.root
        if root is None:
            raise Problem("refused", "Videos on the server are not taken: it was started without --root.")
        most = service.settings.limits.bytes
        return Given(shown_name(value), await asyncio.to_thread(open_below, root, value, most))
    return await fetched(value, service, deadline, net)


async def named(request: Request) -> tuple[str, str]:
    """In which of the three ways a body names a video, and the name.

    Raises:
        Problem: config.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_JSON:
            raise Problem("config", WAYS)
    try:
        values: Any = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise Problem("config", WAYS) from None
    if not isinstance(values, dict) or len(cast("dict[str, Any]", values)) != 1:
        raise Problem("config", WAYS)
    ((way, value),) = cast("dict[str, Any]", values).items()
    if way not in ("path", "url", "sample") or not isinstance(value, str):
        raise Problem("config", WAYS)
    return way, value


async def fetched(url: str, service: Service, deadline: float, net: Net) -> Given:
    """A video from an address."""
    settings = service.settings
    if not settings.url_hosts:
        raise Problem("refused", "Addresses are not taken: the server was started without --url-host.")
    fetch = Fetch(
        url, settings.url_hosts, most_bytes=settings.limits.bytes, deadline=deadline, resolver=net.resolver,
        allowed=net.allowed,
    )  # fmt: skip
    file = service.scratch.file()
    try:
        async with service.decoder():  # a download takes a place, so that they are not without number
            await service.in_thread(lambda: fetch.into(file), fetch.end)
    except BaseException:
        file.close()
        raise
    return Given(shown_name(url.partition("?")[0]), file)
