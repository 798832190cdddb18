"""Where a shot ends and another begins: hard cuts, by how much a frame differs from the one before.

A cut is one difference that stands out among its neighbours: movement changes many frames, a flash two. Dissolves and
fades have no such frame and are not found.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tubelet.streaming.sources import Frame, Origin, Pace

NEIGHBOURS = 2
"""Differences on each side that one must stand out among; so many frames are looked ahead."""
LEAST_DIFFERENCE = 12.0
"""Mean grey levels between the frames on the two sides of a cut, at least."""
TIMES_NEIGHBOURS = 2.5
"""How many times as large as any neighbour."""
LEAST_COLOURS = 0.1
"""Share of the pixels that change their place in the histogram of colours: a jolt of the camera does not."""
BINS = 16


@dataclass(frozen=True, eq=False)
class FirstOfShot:
    """A frame after a cut."""

    frame: Frame
    cut: bool = True

    @property
    def seconds(self) -> float:
        """As of the frame."""
        return self.frame.seconds

    @property
    def lost(self) -> int:
        """As of the frame."""
        return self.frame.lost

    def pixels(self) -> Tensor:
        """As of the frame."""
        return self.frame.pixels()

    def thumbnail(self) -> Tensor:
        """As of the frame."""
        return self.frame.thumbnail()


@dataclass(frozen=True, eq=False)
class Step:
    """A frame, and how it differs from the one before."""

    frame: Frame
    difference: float
    colours: float


def with_cuts(origin: Origin, found: Callable[[float], None] = lambda _: None) -> Origin:
    """A source whose frames say where a shot begins; `found` is told the seconds of each cut."""

    def opened(pace: Pace) -> Iterator[Frame]:
        return marked(origin.open(pace), found)

    return replace(origin, open=opened)


def marked(frames: Iterator[Frame], found: Callable[[float], None]) -> Iterator[Frame]:
    """The same frames, `NEIGHBOURS` late, those after a cut marked."""
    steps: deque[Step] = deque(maxlen=2 * NEIGHBOURS + 1)
    for step in steps_of(frames):
        steps.append(step)
        if len(steps) > NEIGHBOURS:
            yield judged(steps, len(steps) - 1 - NEIGHBOURS, found)
    for place in range(max(len(steps) - NEIGHBOURS, 0), len(steps)):
        yield judged(steps, place, found)


def judged(steps: deque[Step], place: int, found: Callable[[float], None]) -> Frame:
    """A frame, marked if its difference stands out among those around it."""
    step = steps[place]
    around = [
        steps[i].difference
        for i in range(max(place - NEIGHBOURS, 0), min(place + NEIGHBOURS + 1, len(steps)))
        if i != place
    ]
    stands_out = step.difference > max(LEAST_DIFFERENCE, TIMES_NEIGHBOURS * max(around, default=0.0))
    if not (stands_out and step.colours > LEAST_COLOURS):
        return step.frame
    found(step.frame.seconds)
    return FirstOfShot(step.frame)


def steps_of(frames: Iterator[Frame]) -> Iterator[Step]:
    """Each frame beside the one before; the first differs from nothing."""
    before: Tensor | None = None
    histogram = torch.zeros(0)
    for frame in frames:
        now = frame.thumbnail().float()
        colours = torch.stack([channel.histc(BINS, 0, 255) for channel in now]) / now[0].numel()
        if before is None:
            yield Step(frame, 0.0, 0.0)
        else:
            change = float((colours - histogram).abs().sum(dim=1).max()) / 2
            yield Step(frame, float((now - before).abs().mean()), change)
        before, histogram = now, colours
