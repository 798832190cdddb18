"""A video from an address that a stranger gives: of allowed hosts alone, and from public addresses alone."""

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from typing import IO
from urllib.parse import urlsplit

from tubelet.serving.places import too_large
from tubelet.serving.problems import Problem

PORTS = {"http": 80, "https": 443}
PIECE = 2**16
STILL_SECONDS = 15.0
"""A host that says nothing for so long is given up."""

Resolve = Callable[[str, int], list[str]]
"""A host's name and a port to addresses."""


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system knows them."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and no other way to write one that is not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.scope_id or any(ip in net for net in TRANSLATED)
    ):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


TRANSLATED = [ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")]
"""IPv6 addresses that stand for IPv4 ones."""


class Fetch:
    """One download. May be ended from another thread.

    Args:
        url: what was asked for.
        hosts: HOST or HOST:PORT that are allowed.
        most_bytes: of the file.
        deadline: by `time.monotonic`.
        resolver: finds the addresses of a name; asked once.
        allowed: which addresses may be connected to.
    """

    def __init__(
        self,
        url: str,
        hosts: tuple[str, ...],
        *,
        most_bytes: int,
        deadline: float,
        resolver: Resolve = resolve,
        allowed: Callable[[str], bool] = is_public,
    ) -> None:
        self._scheme, self._host, self._port, self._target = parsed(url, hosts)
        self._most_bytes, self._deadline = most_bytes, deadline
        self._resolver, self._allowed = resolver, allowed
        self._socket: socket.socket | None = None
        self._ended = False

    def into(self, file: IO[bytes]) -> None:
        """Write what the address gives into a file.

        Raises:
            Problem: refused, too_large, timeout; decode for a host that does not give it.
        """
        watchdog = Timer(max(self._deadline - time.monotonic(), 0.0), self.end)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._read(file)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= self._deadline:
                raise Problem("timeout", f"{self._host} did not give the video in time.") from error
            raise Problem(
                "decode", f"{self._host} does not give the video ({type(error).__name__})."
            ) from error
        finally:
            watchdog.cancel()
            if self._socket is not None:
                self._socket.close()

    def end(self) -> None:
        """Read no further."""
        self._ended = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self, file: IO[bytes]) -> None:
        connection = http.client.HTTPConnection(self._host, self._port)
        self._socket = connection.sock = self._connected()
        if self._ended:
            raise TimeoutError
        headers = {"Accept-Encoding": "identity", "User-Agent": "tubelet", "Connection": "close"}
        connection.request("GET", self._target, headers=headers)
        with connection.getresponse() as answer:
            self._check(answer)
            count = 0
            while piece := answer.read1(PIECE):
                count += len(piece)
                if count > self._most_bytes:
                    raise too_large(self._most_bytes)
                file.write(piece)
            if self._ended or answer.length:
                raise TimeoutError

    def _check(self, answer: http.client.HTTPResponse) -> None:
        """Refuse what is no video, or too large."""
        if 300 <= answer.status < 400:
            raise Problem("refused", f"{self._host} sends on to another address, which is not followed.")
        if answer.status != 200:
            raise Problem("decode", f"{self._host} answers {answer.status} instead of the video.")
        if answer.length is not None and answer.length > self._most_bytes:
            raise too_large(self._most_bytes)

    def _connected(self) -> socket.socket:
        """A connection to an address that was checked: the name is not looked up again."""
        addresses = self._resolver(self._host, self._port)
        if not addresses or not all(self._allowed(address) for address in addresses):
            raise Problem("refused", f"{self._host} does not lead to the public internet.")
        patience = min(STILL_SECONDS, max(self._deadline - time.monotonic(), 0.1))
        found = socket.create_connection((addresses[0], self._port), timeout=patience)
        if self._scheme == "https":
            try:
                found = ssl.create_default_context().wrap_socket(found, server_hostname=self._host)
            except BaseException:
                found.close()
                raise
        return found


def parsed(url: str, hosts: tuple[str, ...]) -> tuple[str, str, int, str]:
    """Scheme, host, port, and path with query of an address.

    Raises:
        Problem: config, for what is no address; refused, for a host that is not allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = (parts.hostname or "").lower()
    if parts.scheme not in PORTS or not re.fullmatch(r"[a-z0-9.:-]+", host) or "@" in parts.netloc:
        raise Problem(
            "config", "An address of a video begins with https:// or http://, and holds no password."
        )
    usual = PORTS[parts.scheme]
    allowed = {h.lower() for h in hosts}
    if f"{host}:{port or usual}" not in allowed and not (host in allowed and port in (None, usual)):
        raise Problem("refused", f"Videos of {host} are not taken here.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch(r"[!-~]+", target):
        raise Problem(
            "config", "An address holds letters, digits and signs of ASCII alone; others are encoded by %."
        )
    return parts.scheme, host, port or usual, target
