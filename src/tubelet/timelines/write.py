"""A timeline as files for other programs: JSON, tables, subtitles."""

import csv
import io
import json
from itertools import pairwise
from pathlib import Path

from tubelet.timelines.rules import Segment
from tubelet.timelines.timeline import Timeline


def put(path: Path, content: str | bytes, overwrite: bool = False) -> Path:
    """Write a file, put in its place only when it is whole.

    Raises:
        FileExistsError: if the file is there, unless it may be overwritten.
    """
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.part")
    scratch.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    scratch.replace(path)
    return path


def refuse_existing(path: Path, overwrite: bool = False) -> None:
    """Raise FileExistsError for a file that is there and must not be overwritten."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists and is not overwritten: name another file, or say --overwrite.")


def as_json(timeline: Timeline) -> str:
    """Its segments, and what made them."""
    return json.dumps(timeline.to_dict(), indent=1, ensure_ascii=False) + "\n"


def as_csv(timeline: Timeline) -> str:
    """A line for each segment: head, label, beginning and end in seconds, mean and largest probability."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["head", "label", "start_seconds", "end_seconds", "probability", "peak"])
    for segment in timeline.segments():
        writer.writerow(segment.to_dict().values())
    return out.getvalue()


def probabilities_csv(timeline: Timeline) -> str:
    """A line for each answer: from when to when it counts, its shot, and the probability of every class."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = timeline.labels.heads
    names = [f"{head.name}: {c}" if len(heads) > 1 else c for head in heads for c in head.classes]
    writer.writerow(["start_seconds", "end_seconds", "shot", *names])
    columns = [timeline.probabilities(head.name) for head in heads]
    for number, (start, end) in enumerate(timeline.edges.tolist()):
        values = [f"{value:.5f}" for column in columns for value in column[number].tolist()]
        writer.writerow([f"{start:.3f}", f"{end:.3f}", timeline.stretches[number], *values])
    return out.getvalue()


def as_srt(timeline: Timeline) -> str:
    """Subtitles: a cue for each stretch of time in which the same labels hold, a line for each of them."""
    segments = timeline.segments()
    several = len(timeline.labels.heads) > 1
    places = {head.name: number for number, head in enumerate(timeline.labels.heads)}
    times = sorted({t for s in segments for t in (s.start_seconds, s.end_seconds)})
    waiting = sorted(segments, key=lambda s: s.start_seconds, reverse=True)
    held: list[Segment] = []
    cues: list[tuple[float, float, str]] = []
    for start, end in pairwise(times):
        held = [s for s in held if s.end_seconds > start]
        while waiting and waiting[-1].start_seconds <= start:
            held.append(waiting.pop())
        held.sort(key=lambda s: places[s.head])
        text = "\n".join(f"{s.head}: {s.label}" if several else s.label for s in held)
        if cues and cues[-1][1] == start and cues[-1][2] == text:
            cues[-1] = (cues[-1][0], end, text)
        elif text:
            cues.append((start, end, text))
    lines = [
        f"{number}\n{srt_time(start)} --> {srt_time(end)}\n{text}\n"
        for number, (start, end, text) in enumerate(cues, start=1)
    ]
    return "\n".join(lines)


def srt_time(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds as subtitles have them."""
    milliseconds = round(1000 * seconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02},{rest % 1000:03}"
