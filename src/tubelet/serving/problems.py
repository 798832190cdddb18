"""What a request may be answered instead of what it asked for: one form for every route."""

from typing import Any

from tubelet.errors import ConfigError, DecodeError, TubeletError

STATUS: dict[str, int] = {
    "config": 400,
    "unauthorised": 401,
    "refused": 403,
    "not_found": 404,
    "too_large": 413,
    "decode": 422,
    "busy": 429,
    "internal": 500,
    "stopping": 503,
    "timeout": 504,
}
"""Kinds of problems, and the HTTP status of each."""


class Problem(Exception):  # noqa: N818 - an answer, not a fault
    """An answer other than the one asked for.

    Args:
        kind: one of `STATUS`.
        message: a sentence for people; it holds no path of this machine.
        status: in place of the kind's own.
        headers: of the answer.
    """

    def __init__(
        self, kind: str, message: str, *, status: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status or STATUS[kind]
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"kind": self.kind, "message": self.message}}


def problem_of(error: TubeletError) -> Problem:
    """The answer to an error that Tubelet raises on purpose."""
    if isinstance(error, DecodeError):  # first: a video that is too short is both
        return Problem("decode", str(error))
    return Problem("config" if isinstance(error, ConfigError) else "internal", str(error))
