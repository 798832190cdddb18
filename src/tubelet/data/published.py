"""`Published`: what the datasets have in common that are read as their makers publish them."""

from dataclasses import dataclass
from pathlib import Path

from tubelet.data.source import Listed


@dataclass(frozen=True, kw_only=True)
class Published(Listed):
    """A dataset as it is published: videos below a folder, and annotations in files of their own."""

    root: Path
    """The folder of the videos."""
    annotations: Path | None
    """The folder of the annotations."""
    image_rate: float | None = None
    """Frames per second where each clip is a folder of images; None: clips are video files."""

    def __post_init__(self) -> None:
        """Take paths as text too."""
        object.__setattr__(self, "root", Path(self.root))
        if self.annotations is not None:
            object.__setattr__(self, "annotations", Path(self.annotations))

    @property
    def place(self) -> str:
        """The folder of the videos."""
        return str(self.root)
