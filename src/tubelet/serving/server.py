"""The process of a server: it listens, and when it is told to stop it finishes what it accepted."""

import logging
import logging.config
import time
from types import FrameType
from typing import Any

import uvicorn

from tubelet.serving.app import make_app
from tubelet.serving.service import Service

LAST_SECONDS = 5
"""For connections to close, when all work is done."""
LOGS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "tubelet.serving": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


class Server(uvicorn.Server):
    """uvicorn, which first lets a service finish."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.stop_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and Ctrl-C: the first lets accepted work end, the second does not."""
        if self.service.draining:
            self.stop_at = 0.0
        else:
            self.service.draining = True
            self.stop_at = time.monotonic() + self.service.settings.grace_seconds

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop listening."""
        if self.stop_at is not None and (not self.service.accepted or time.monotonic() >= self.stop_at):
            self.force_exit = self.service.accepted > 0
            return True
        return await super().on_tick(counter)

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started:
            logging.getLogger("tubelet.serving").info(
                "Listening at http://%s:%d. Ctrl-C ends it.", self.config.host, bound_port(self)
            )


def bound_port(server: uvicorn.Server) -> int:
    """The port that was given, or found where it was 0."""
    return server.servers[0].sockets[0].getsockname()[1]


def serve(service: Service, port: int) -> bool:
    """Run a server until it is told to stop.

    Returns:
        Whether it could listen.
    """
    logging.config.dictConfig(LOGS)
    config = uvicorn.Config(
        make_app(service), host=service.settings.host, port=port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=LAST_SECONDS, ws="none", lifespan="on",
    )  # fmt: skip
    server = Server(config, service)
    try:
        server.run()
    finally:
        service.close()  # where the grace was over, nobody else has done it
    return server.started
