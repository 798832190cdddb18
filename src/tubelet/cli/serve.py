"""`tubelet serve MODEL`: answers over HTTP, and a page to try it on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.serving.settings import Settings

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
MEGABYTE = 10**6


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Answers over HTTP, and a page to try it on.

    The environment's TUBELET_KEYS and TUBELET_ADMIN_KEYS hold keys, separated by commas. Ctrl-C or SIGTERM ends the
    server after it has answered what it accepted.
    """

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME=]MODEL ...")] = ()
    """Model folders or files, with the names to ask for them by; the first answers where none is named. Default:
    camera-motion, the model that comes with Tubelet."""
    host: str = "127.0.0.1"
    """The address to listen at. One that other machines reach needs keys."""
    port: int = 8000
    """The port to listen at; 0: any that is free."""
    keys_file: Path | None = None
    """A file with a key in each line; requests must then bear one."""
    admin_keys_file: Path | None = None
    """A file with the keys of those who may exchange models."""
    allow_host: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A name by which the server may be asked for, beside those of this machine. May be repeated."""
    root: Path | None = None
    """A folder of videos that may be asked for by their paths."""
    url_host: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A host, or HOST:PORT, whose videos may be asked for by their addresses. May be repeated."""
    model_root: Path | None = None
    """A folder of models that may take the place of those that answer."""
    max_megabytes: float = 200.0
    """Of a video file."""
    max_seconds: float = 600.0
    """Of a video's length."""
    max_pixels: int = 4096 * 2304
    """Of a frame: height x width."""
    max_frames: int = 40_000
    """Of a video."""
    request_seconds: float = 120.0
    """From the beginning of a request to the end of its answer."""
    decoder_megabytes: int = 1536
    """Memory that decoding a video may take."""
    decoder_seconds: int = 60
    """Processor time that decoding a video may take."""
    queue: int = 64
    """Requests that are accepted and not answered yet, at most; more are told to come again."""
    decoders: int | None = None
    """Videos that are decoded at a time. Default: as many as there are cores."""
    batch: int = 8
    """Most clips of all requests to put through the model at a time."""
    wait_ms: float = 0.0
    """How long a batch that is not full waits for videos that are being decoded; on a GPU 5 may pay."""
    threads: int | None = None
    """Threads that the model computes with. Default: the cores that decode nothing at that moment."""
    grace: float = 30.0
    """Seconds to finish what was accepted when the server is to stop."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    trust: bool = False
    """Execute the code that exported .pt2 files hold: only for files of people you trust."""
    scratch: Path | None = None
    """A folder for films while they are written, and uploads. Default: in the system's folder for such."""

    def settings(self) -> "Settings":
        """How the server is run."""
        from tubelet.serving.limits import Limits
        from tubelet.serving.settings import Settings, read_keys

        limits = Limits(
            bytes=round(self.max_megabytes * MEGABYTE),
            seconds=self.max_seconds,
            pixels=self.max_pixels,
            frames=self.max_frames,
            request_seconds=self.request_seconds,
            decoder_bytes=self.decoder_megabytes * 2**20,
            decoder_seconds=self.decoder_seconds,
        )
        more = {} if self.decoders is None else {"decoders": self.decoders}
        return Settings(
            host=self.host,
            limits=limits,
            keys=read_keys(self.keys_file, os.environ.get("TUBELET_KEYS", "")),
            admin_keys=read_keys(self.admin_keys_file, os.environ.get("TUBELET_ADMIN_KEYS", "")),
            allow_hosts=self.allow_host,
            root=self.root,
            url_hosts=self.url_host,
            model_root=self.model_root,
            queue=self.queue,
            grace_seconds=self.grace,
            **more,
        )


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 when it was told to stop, 1 if it could not listen."""
    options = tyro.cli(Serve, prog=prog, args=arguments)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"tubelet serve needs {', '.join(missing)}: pip install 'tubelet[serve]'.")
    from tubelet.serving.server import serve
    from tubelet.serving.service import Service

    settings = options.settings()  # refuses what cannot be, before a model is loaded
    service = Service(
        settings,
        named_models(options.models),
        batch=options.batch,
        wait_seconds=options.wait_ms / 1000,
        threads=options.threads,
        device=options.device,
        trust=options.trust,
        scratch=options.scratch,
    )
    return 0 if serve(service, options.port) else 1


def named_models(given: Sequence[str]) -> dict[str, str]:
    """Models by name; one without a name has that of its folder or file.

    Raises:
        ConfigError: for a name that is there twice, or cannot stand in an address.
    """
    found: dict[str, str] = {}
    for one in given or ("camera-motion",):
        name, is_named, path = one.partition("=")
        if not is_named or "/" in name:
            name, path = Path(one).stem, one
        if not name or any(not (c.isalnum() or c in "-_.") for c in name):
            raise ConfigError(f"{one}: a model's name has letters, digits, - _ and . alone: NAME=MODEL.")
        if name in found:
            raise ConfigError(f"Two models are called {name}: give names, NAME=MODEL.")
        found[name] = path
    return found
