"""`tubelet serve MODEL`: answers over HTTP, and a page to try it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Answers over HTTP, and a page to try it on."""

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME=]MODEL ...")] = ()
    """Model folders or weights files, with the names to ask for them by. Default: camera-motion."""
    host: str = "127.0.0.1"
    """The address to listen at."""
    port: int = 8000
    """The port to listen at."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Serve, prog=prog, args=arguments)
    import uvicorn

    from tubelet.loading import load
    from tubelet.serving.app import make_app

    named = [m.rpartition("=")[::2] for m in options.models or ("camera-motion",)]
    uvicorn.run(
        make_app({name or path: load(path) for name, path in named}), host=options.host, port=options.port
    )
    return 0
