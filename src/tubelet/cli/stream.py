"""`tubelet stream`: what happens now, in a file, a webcam, a network stream or standard input."""

import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import tyro

if TYPE_CHECKING:
    from rich.text import Text

    from tubelet.streaming.sources import Raw
    from tubelet.streaming.stream import Answer


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What happens now: an answer every hop, of the newest frames. Where the model is too slow, it skips and says so.

    Lines to read on a terminal, JSON lines elsewhere. Ctrl-C ends it.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A file; webcam, webcam:1 or /dev/video1; the URL of a network stream (rtsp, http, rtmp, udp, srt); - for
    standard input."""
    model: str = "camera-motion"
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    hop: int | None = None
    """From one answer to the next, in frames of a clip. Default: the model's own, or else one tubelet."""
    window_seconds: float | None = None
    """The time that a window spans, in place of the model's stride or rate."""
    realtime: bool = False
    """Play a file at its own speed, as if a camera saw it."""
    skip: Literal["auto", "always", "never"] = "auto"
    """Skip answers for which there is no time, to stay with what happens now; auto: of what is live or played in
    real time, and not of files. Say never where a file comes through a pipe."""
    retries: int = 0
    """How often to open a device or a network stream again that breaks or ends."""
    timeout_seconds: float = 10.0
    """A device or a network stream that gives nothing for so long is broken."""
    raw: str | None = None
    """Standard input holds frames without a container, 8-bit RGB: WIDTHxHEIGHT, or WIDTHxHEIGHT@FRAMES_PER_SECOND."""
    top: int = 3
    """How many answers to give for each head, in JSON; a terminal shows the best."""
    json: str | None = None
    """Write JSON lines to this file; - for standard output."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"
    """In what precision to compute; auto: bfloat16 where the device has hardware for it, else float32; int8: the
    blocks, on a CPU."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 where the source ended, or nobody reads on."""
    options = tyro.cli(Stream, prog=prog, args=arguments)
    import torch
    from rich.console import Console

    from tubelet.cli.console import chosen_dtype, stdout
    from tubelet.loading import load
    from tubelet.streaming.engine import why_whole
    from tubelet.streaming.stream import stream

    if options.json not in (None, "-") and Path(str(options.json)).exists():
        raise FileExistsError(f"{options.json} exists and is not overwritten: name another file.")
    raw = None if options.raw is None else parse_raw(options.raw)
    errors = Console(stderr=True)
    dtype = chosen_dtype(options.dtype, torch.device(options.device), errors)
    classifier = load(options.model).to(options.device, dtype)
    answers = stream(
        classifier, options.source, hop=options.hop, window_seconds=options.window_seconds,
        realtime=options.realtime, keep_up={"auto": None, "always": True, "never": False}[options.skip],
        retries=options.retries, timeout_seconds=options.timeout_seconds, raw=raw,
    )  # fmt: skip
    whole = why_whole(classifier.model)
    if whole is not None:
        errors.print(whole, highlight=False, soft_wrap=True)
    console = stdout()
    try:
        if options.json is None and console.is_terminal:
            for answer in answers:
                console.print(line_of(answer), soft_wrap=True)
        else:
            with lines_to(options.json or "-") as out:
                for answer in answers:
                    out.write(json.dumps(answer.to_dict(options.top)) + "\n")
                    out.flush()
    except BrokenPipeError:
        # Whoever read the lines has left; Python must not try to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextmanager
def lines_to(target: str) -> "Generator[TextIO]":
    """A file to write into, or standard output for `-`."""
    if target == "-":
        yield sys.stdout
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with Path(target).open("x", encoding="utf-8") as file:
            yield file


def parse_raw(text: str) -> "Raw":
    """What WIDTHxHEIGHT@RATE says.

    Raises:
        ConfigError: for another form.
    """
    from tubelet.errors import ConfigError
    from tubelet.streaming.sources import Raw

    size, _, rate = text.partition("@")
    width, _, height = size.partition("x")
    try:
        return Raw(width=int(width), height=int(height), frames_per_second=float(rate or 25))
    except ValueError as error:
        raise ConfigError(
            f"--raw {text}: say WIDTHxHEIGHT or WIDTHxHEIGHT@FRAMES_PER_SECOND, such as 640x480@30."
        ) from error


def line_of(answer: "Answer") -> "Text":
    """An answer to read: time, the best of each head, delay, and what was skipped."""
    from rich.text import Text

    prediction = answer.prediction
    line = Text(f"{clock(prediction.start_seconds)} - {clock(prediction.end_seconds or 0.0)}", style="dim")
    several = len(prediction.labels.heads) > 1
    for head in prediction.labels.heads:
        label, probability = prediction.top(1, head.name)[0]
        line.append(f"  {head.name}: " if several else "  ", style="dim")
        line.append(label, style="bold")
        line.append(
            f" {probability:.2f}" if head.kind == "number" else f" {probability:.0%}", style="not dim"
        )
    line.append(f"  {1000 * answer.latency_seconds:.0f} ms")
    if answer.skipped_answers or answer.skipped_frames:
        line.append(
            f"  skipped {answer.skipped_answers} answers, {answer.skipped_frames} frames", style="yellow"
        )
    return line


def clock(seconds: float) -> str:
    """Hours only where there are any."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes:02}:{rest:04.1f}"
