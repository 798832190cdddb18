"""The model in the box on several motions joined: the segments are where the motions are."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import tubelet
from tubelet import Rules, Video
from tubelet.timelines.timeline import Timeline

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
PARTS = (("pan_left", 100), ("still_then_cut", 60), ("tilt_up", 100), ("zoom_in", 100), ("roll_right", 100))
TRUTH = {
    "pan": {"pan_left": "left"},
    "tilt": {"tilt_up": "up"},
    "zoom": {"zoom_in": "in"},
    "roll": {"roll_right": "right"},
}
RULES = Rules(smooth="mean", smooth_seconds=1.0, background=("none", "no"), least_seconds=0.5)


def join(file: Path, parts: Sequence[tuple[str, int]]) -> Path:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        stream.options = {"crf": "18", "preset": "ultrafast"}
        number = 0
        for name, frames in parts:
            with Video(CLIPS / f"{name}.mp4") as video:
                for picture in video.frames(np.arange(frames)).permute(0, 2, 3, 1).numpy():
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                    frame = frame.reformat(192, 108, "yuv420p")
                    frame.pts, frame.time_base = number, Fraction(1, 25)
                    container.mux(stream.encode(frame))
                    number += 1
        container.mux(stream.encode(None))
    return file


def overlap(timeline: Timeline, head: str, start: float, end: float) -> float:
    """Intersection over union of all segments of a head with the time in which its motion is there."""
    segments = [(s.start_seconds, s.end_seconds) for s in timeline.segments(head)]
    shared = sum(max(min(b, end) - max(a, start), 0) for a, b in segments)
    return shared / (end - start + sum(b - a for a, b in segments) - shared)


def test_segments_are_where_the_motions_are(tmp_path: Path) -> None:
    file = join(tmp_path / "joined.mp4", PARTS)
    classifier = tubelet.load("camera-motion")
    found = tubelet.timeline(classifier, file, RULES, respect_cuts=True)
    ends = np.cumsum([frames for _, frames in PARTS]) / 25
    assert found.cuts == pytest.approx(ends[:-1], abs=1e-3)
    overlaps: dict[str, float] = {}
    right: list[bool] = []
    for head, motions in TRUTH.items():
        for (name, frames), end in zip(PARTS, ends, strict=True):
            truth = motions.get(name)
            seconds = np.arange(end - frames / 25 + 0.1, end, 0.2)
            right += [(found.at(s, head) or [None])[0] == truth for s in seconds]
            if truth is not None:
                overlaps[head] = overlap(found, head, end - frames / 25, end)
    assert min(overlaps.values()) > 0.9
    assert np.mean(right) > 0.95
    # Windows that reach over cuts blur the borders.
    blurred = tubelet.timeline(classifier, file, RULES)
    assert blurred.cuts == ()
    worse = [overlap(blurred, head, *_span(head, ends)) for head in TRUTH]
    assert min(worse) > 0.6
    assert max(worse) < 0.99
    # Without rules the same answers are more segments.
    assert len(replace(found, rules=Rules()).segments()) > len(found.segments())


def _span(head: str, ends: np.ndarray) -> tuple[float, float]:
    for (name, frames), end in zip(PARTS, ends, strict=True):
        if name in TRUTH[head]:
            return end - frames / 25, end
    raise AssertionError(head)
