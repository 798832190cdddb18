"""One clip, decoded from its first frame to its last: what it is, what is wrong with it, what it looks like."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tubelet.data.source import Sample
from tubelet.errors import TubeletError
from tubelet.video.decode import Video

AT_A_TIME = 16
"""Frames in memory."""
LOOKS = 8
"""Frames of a clip, spread evenly from its first to its last, by which it is compared with others."""
SIDE = 16
"""Pixels of the side of such a frame, whatever its shape was."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """What a clip is."""

    index: int
    """Which sample, in the order given."""
    error: str = ""
    """Why it cannot be read to its end; the rest then says nothing."""
    frames: int = 0
    height: int = 0
    width: int = 0
    frame_rate: float = 0.0
    duration_seconds: float = 0.0
    digest: str = ""
    """Of all pixels: equal for clips that show exactly the same."""
    look: NDArray[np.float16] | None = None
    """`(LOOKS, SIDE, SIDE)`: brightness of small pictures of some frames, 0 to 255."""


class Examiner(Dataset[Finding]):
    """Samples as findings, made in worker processes."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Finding:
        """One clip; what cannot be read says why."""
        try:
            with self.samples[index].open() as video:
                return examine(index, video)
        except TubeletError as error:
            return Finding(index=index, error=str(error))


def examine(index: int, video: Video) -> Finding:
    """Decode a clip once, as a whole.

    Raises:
        DecodeError: if a frame cannot be decoded.
    """
    wanted = np.round(np.linspace(0, len(video) - 1, LOOKS)).astype(int).tolist()
    digest = hashlib.blake2b(f"{video.height} {video.width}".encode(), digest_size=16)
    small: dict[int, Tensor] = {}
    for first in range(0, len(video), AT_A_TIME):
        numbers = range(first, min(first + AT_A_TIME, len(video)))
        pixels = video.frames(numbers)
        digest.update(pixels.permute(0, 2, 3, 1).contiguous().numpy().data)
        small |= {n: brightness(pixels[n - first]) for n in set(wanted) & set(numbers)}
    return Finding(
        index=index,
        frames=len(video),
        height=video.height,
        width=video.width,
        frame_rate=video.frame_rate,
        duration_seconds=video.duration_seconds,
        digest=digest.hexdigest(),
        look=torch.stack([small[n] for n in wanted]).numpy().astype(np.float16),
    )


def brightness(frame: Tensor) -> Tensor:
    """uint8 `(3, H, W)` as a small picture `(SIDE, SIDE)` of its brightness (ITU-R BT.601)."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    return F.adaptive_avg_pool2d((frame.float() * weights[:, None, None]).sum(0)[None], SIDE)[0]
