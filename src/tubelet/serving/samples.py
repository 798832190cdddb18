"""The clips that come with the server, to try it on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.serving.problems import Problem

FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A clip in `FOLDER`."""

    name: str
    title: str
    seconds: float

    @property
    def file(self) -> Path:
        """Where it is."""
        return FOLDER / f"{self.name}.mp4"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"name": self.name, "title": self.title, "seconds": self.seconds}


SAMPLES = {
    sample.name: sample
    for sample in (
        Sample("pan_left", "The camera pans to the left", 4.0),
        Sample("zoom_in", "The camera zooms in", 4.0),
        Sample("still_then_cut", "A still camera, then a cut", 4.0),
    )
}
"""By name."""


def sample_of(name: str) -> Sample:
    """The sample of a name.

    Raises:
        Problem: not_found.
    """
    if name not in SAMPLES:
        raise Problem("not_found", f"There is no sample {name!r}. There are: {', '.join(SAMPLES)}.")
    return SAMPLES[name]
