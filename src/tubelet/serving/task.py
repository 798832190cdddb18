"""What a decoding child is to do."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from tubelet.serving.limits import Limits
from tubelet.video.view import View


@dataclass(frozen=True, kw_only=True)
class Task:
    """For one video."""

    kind: Literal["clips", "windows", "timeline", "moment"]
    """All clips of `views`; consecutive windows; overlapping windows of a stream; the clip around a moment."""
    name: str
    """What messages call the video."""
    view: View
    limits: Limits
    wall_seconds: float = 0.1
    """How long the child may live; who starts it says."""
    views: str = "1x1"
    hop: int = 1
    """Of a timeline, in frames of a clip."""
    cuts: bool = False
    """Of a timeline: find them, and let no window reach over one."""
    at_seconds: float | None = None
    """The moment. None: the middle."""

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps({**asdict(self), "view": self.view.to_dict()}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; it comes from the server alone."""
        values: dict[str, Any] = json.loads(data)
        values["view"] = View.from_dict(values["view"])
        values["limits"] = Limits(**values["limits"])
        return cls(**values)
