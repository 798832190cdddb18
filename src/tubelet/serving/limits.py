"""What one request may cost."""

import math
from dataclasses import dataclass, fields

from tubelet.errors import ConfigError

MOST_CLIPS = 64
"""Of one video at a time: clips x crops."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one request.

    Raises:
        ConfigError: for what is not above 0.
    """

    bytes: int = 200_000_000
    """Of the video file, counted while it arrives."""
    seconds: float = 600.0
    """Of the video's length."""
    pixels: int = 4096 * 2304
    """Of a frame, height x width."""
    frames: int = 40_000
    """Of the video."""
    request_seconds: float = 120.0
    """From the first byte of the request to the last of its answer."""
    decoder_bytes: int = 1536 * 2**20
    """Memory that decoding may take, beyond what the decoder has before it sees the video."""
    decoder_seconds: int = 60
    """Processor time that decoding may take."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ConfigError(f"The limit {field.name}={value} must be above 0.")
