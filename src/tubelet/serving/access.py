"""What comes before every route: who asks, and by what name; and after it: headers, a count, a line in the log."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tubelet.serving.metrics import Metrics
from tubelet.serving.problems import Problem
from tubelet.serving.settings import Settings

LOG = logging.getLogger("tubelet.serving")
ACCESS = logging.getLogger("tubelet.serving.access")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FOR_OPERATORS = ("/metrics", "/docs", "/openapi.json")
"""Open where only this machine asks."""
GONE = 499
"""Counted for a client that went away."""
DRAINED_BYTES, DRAINED_SECONDS = 256 * 2**20, 5.0
"""What is still read of the body of a request that is refused."""


class Body:
    """The body of a request while it arrives."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> Message:
        """The next message, which is passed on."""
        message = await self._receive()
        self.ended = self.ended or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read some more and forget it: a browser that is cut off in the middle of sending shows no answer."""
        left = DRAINED_BYTES
        try:
            async with asyncio.timeout(DRAINED_SECONDS):
                while not self.ended and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


class Access:
    """The outermost part of the server.

    Args:
        app: the routes.
        settings: keys and names.
        metrics: where to count.
        is_open: whether a path needs no key.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, is_open: Callable[[str], bool]
    ) -> None:
        self.app, self.settings, self.metrics, self.is_open = app, settings, metrics, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        begun, body = time.monotonic(), Body(receive)
        status, sent = GONE, 0

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400:
                    await body.drain()
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            self.check(scope)
            await self.app(scope, body.receive, watched)
        except Problem as problem:
            await answer(problem)(scope, body.receive, watched)
        except Exception:
            LOG.exception("A request failed.")
            if status == GONE:
                mistake = Problem("internal", "The server made a mistake; its log says which.")
                await answer(mistake)(scope, body.receive, watched)
        finally:
            self.record(scope, status, sent, time.monotonic() - begun)

    def check(self, scope: Scope) -> None:
        """Refuse who may not ask.

        Raises:
            Problem: refused or unauthorised.
        """
        headers, path, settings = Headers(scope=scope), scope["path"], self.settings
        host = headers.get("host", "")
        if not settings.answers_to(host):
            raise Problem(
                "refused", f"This server is not {host[:100]!r}; start it with --allow-host to make it so."
            )
        origin = headers.get("origin")
        elsewhere = origin is not None and origin.partition("://")[2].lower() != host.lower()
        if elsewhere and scope["method"] not in ("GET", "HEAD"):
            raise Problem("refused", "Pages of other servers may not ask here.")
        if path.startswith("/models/"):
            if not settings.admin_keys:
                raise Problem(
                    "refused", "Models are not exchanged here: the server has no administrator's key."
                )
            if not settings.administers(key_of(headers)):
                raise unauthorised("To exchange a model takes the key of an administrator.")
            return
        needed = settings.keys and not self.is_open(path)
        if path in FOR_OPERATORS and not settings.exposed:
            needed = False
        if needed and not settings.admits(key_of(headers)):
            raise unauthorised(
                "This server answers those who have a key: send it as `Authorization: Bearer KEY`."
            )

    def record(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        """Count, and write a line. What is asked for, and by which key, is not in it."""
        route = getattr(scope.get("route"), "path", "other")
        model = scope.get("state", {}).get("model", "")
        self.metrics.requests.labels(route, model, str(status)).inc()
        client = scope.get("client")
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": client[0] if client else "",
            "method": scope["method"],
            "route": route,
            "model": model,
            "status": status,
            "bytes": sent,
            "seconds": round(seconds, 4),
        }
        ACCESS.info(json.dumps(line))


def answer(problem: Problem) -> JSONResponse:
    """A problem as an answer."""
    return JSONResponse(problem.to_dict(), problem.status, problem.headers)


def unauthorised(message: str) -> Problem:
    """Who asked has no key, or a wrong one."""
    return Problem("unauthorised", message, headers={"WWW-Authenticate": "Bearer"})


def key_of(headers: Headers) -> str:
    """The key that a request bears; empty where it bears none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
