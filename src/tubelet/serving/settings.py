"""How a server is run."""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tubelet.cores import cores
from tubelet.errors import ConfigError
from tubelet.serving.limits import Limits

LEAST_KEY = 16
"""Characters."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one server.

    Raises:
        ConfigError: for what cannot be, and for an address that others reach without keys.
    """

    host: str = "127.0.0.1"
    limits: Limits = field(default_factory=Limits)
    keys: tuple[str, ...] = field(default=(), repr=False)
    """Of which a request must bear one. None: everybody on this machine may ask."""
    admin_keys: tuple[str, ...] = field(default=(), repr=False)
    """Of which a request to exchange a model must bear one."""
    allow_hosts: tuple[str, ...] = ()
    """Names by which the server may be asked for, beside those of this machine."""
    root: Path | None = None
    """Videos below it may be asked for by their paths."""
    url_hosts: tuple[str, ...] = ()
    """Hosts, or HOST:PORT, whose videos may be asked for by their addresses."""
    model_root: Path | None = None
    """Models below it may take the place of those that answer."""
    queue: int = 64
    """Requests that are accepted and not answered yet, at most."""
    decoders: int = field(default_factory=cores)
    """Videos that are decoded at a time; of timelines half as many beside them, at least one."""
    grace_seconds: float = 30.0
    """For what was accepted, when the server is to stop."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.exposed and not self.keys:
            raise ConfigError(
                f"{self.host} can be reached from other machines, so requests must bear a key: set TUBELET_KEYS or "
                "give --keys-file, or listen at 127.0.0.1."
            )
        if any(len(key) < LEAST_KEY for key in (*self.keys, *self.admin_keys)):
            raise ConfigError(
                f"A key has fewer than {LEAST_KEY} characters, which can be guessed: make it longer."
            )
        if self.queue < 1 or self.decoders < 1 or self.grace_seconds < 0:
            raise ConfigError(
                f"queue={self.queue}, decoders={self.decoders}, grace_seconds={self.grace_seconds}: at least one "
                "request and one decoder, and no time below 0."
            )
        for folder in (self.root, self.model_root):
            if folder is not None and not folder.is_dir():
                raise ConfigError(f"{folder} is no folder.")

    @property
    def exposed(self) -> bool:
        """Whether other machines reach it."""
        return not is_loopback(self.host)

    def admits(self, key: str) -> bool:
        """Whether a key is one of ours; it takes the same time for every wrong one."""
        return bears(key, (*self.keys, *self.admin_keys))

    def administers(self, key: str) -> bool:
        """Whether a key is one of an administrator."""
        return bears(key, self.admin_keys)

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server; else a page elsewhere may have its own name lead here."""
        if self.exposed and not self.allow_hosts:
            return True  # by whatever name: a page elsewhere has no key
        name = host.lower()
        if not name.endswith("]"):
            head, _, port = name.rpartition(":")
            name = head if port.isdecimal() and head else name
        return name in {*LOOPBACK_NAMES, self.host.lower(), *(h.lower() for h in self.allow_hosts)}


def bears(key: str, keys: Iterable[str]) -> bool:
    """Whether a key is among some, without saying by its time where it differs."""
    given = key.encode()
    return sum(hmac.compare_digest(given, one.encode()) for one in keys) > 0


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_keys(file: Path | None, environment: str) -> tuple[str, ...]:
    """Keys of a file, one in each line, and of a variable, separated by commas or spaces.

    Raises:
        ConfigError: if the file cannot be read.
    """
    try:
        lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The keys in {file} cannot be read: {error}.") from error
    found = [line.strip() for line in lines] + environment.replace(",", " ").split()
    return tuple(key for key in found if key and not key.startswith("#"))
