"""Decoding alone, and clips from files, beside FFmpeg's own program and other readers: on one core."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from tubelet.benchmarks.footage import CODECS, codecs_here, encode, pictures
from tubelet.benchmarks.readers import (
    Reads,
    absent_readers,
    ffmpeg_decodes,
    ffmpeg_frames,
    ffmpeg_program,
    installed,
    pyav_decodes,
    readers_here,
    torchcodec_decoder,
    torchcodec_decodes,
    tubelet_decodes,
)
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Settings, machine_line, spread
from tubelet.benchmarks.turns import Spread, check_same, difference, ratios, take_turns
from tubelet.video.decode import Video
from tubelet.video.transforms import centre_crop, shorter_side_size, to_range
from tubelet.video.view import View

SIZES = ((320, 240), (640, 360), (1280, 720))
CLIP_CODECS = ("h264", "vp9")
FRAMES = 200
"""Of each video that is made."""
PASSES = 5
"""Of the ffmpeg program over a video, so that its start hardly counts."""
LEVELS = 0.02
"""How far pixels of two decoders, or after two resizings, may differ, as a share of the largest: five grey levels."""


def footage_line(settings: Settings) -> str:
    """Of what the videos are made."""
    return (
        "made here (`--videos FOLDER` takes others)"
        if settings.videos is None
        else "those of a folder of real clips"
    )


def rows_of(
    case: str, seconds: Mapping[str, Sequence[float]], work: int, same: Mapping[str, float]
) -> list[tuple[str, ...]]:
    """Rows of one comparison: work per second of each program, and how many times as fast as the first."""
    first = next(iter(seconds))
    return [
        (
            case if name == first else "",
            name,
            spread(Spread.of([work / s for s in times]), " /s"),
            "" if name == first else spread(ratios(seconds[first], times), "x"),
            f"{same[name]:.0e}" if name in same and name != first else "",
        )
        for name, times in seconds.items()
    ]


def decode_table(settings: Settings) -> Record:
    """All frames of videos of several codecs and sizes, one after the other."""
    begun, machine = time.perf_counter(), machine_line()
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    program = ffmpeg_program()
    with TemporaryDirectory(prefix="tubelet-bench-") as scratch:
        for size in SIZES:
            for name, codec in codecs_here().items():
                case = f"{name}, {size[0]}x{size[1]}"
                file = encode(
                    codec, size, pictures(settings.videos, size, FRAMES), Path(scratch, f"{case}.mp4")
                )
                same: dict[str, float] = {}
                if program is not None:
                    few = min(FRAMES, 8)
                    with Video(file) as video:
                        answers = {
                            "ffmpeg": ffmpeg_frames(program, file, few, size),
                            "Tubelet": video.frames(range(few)),
                        }
                    same = check_same(answers, LEVELS)
                seconds = take_turns(
                    decoders(program, file), budget_seconds=settings.seconds / 10, cpu_time=True
                )
                for name, times in seconds.items():
                    if name.startswith("ffmpeg"):
                        seconds[name] = [each / PASSES for each in times]
                rows += rows_of(case, seconds, FRAMES, same)
                measured[case] = {"seconds": seconds, "difference": same}
    return Record(
        name="decode",
        title="Decoding",
        about=(
            f"`tubelet bench decode`: all of {FRAMES} frames of a video, one after the other; frames per second of "
            f"one core's time, that of child processes counted too. The pictures are {footage_line(settings)}. "
            f"`ffmpeg` is `ffmpeg -threads 1 -f null`, {PASSES} times over the video in one process, which throws "
            "the frames away as they are; *RGB* converts them first. Tubelet gives RGB as tensors. The programs "
            "bring FFmpeg libraries of different versions."
        ),
        columns=("video", "program", "frames", "times as fast", "difference"),
        rows=rows,
        notes=[
            *(
                []
                if program
                else ["There is no ffmpeg program here, so its rows are missing: pip install imageio-ffmpeg."]
            ),
            *absent_readers(),
            *absent_codecs(),
        ],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def absent_codecs() -> list[str]:
    """A sentence on those that cannot be written here."""
    absent = CODECS.keys() - codecs_here().keys()
    return [f"PyAV has no encoder here for {', '.join(sorted(absent))}."] if absent else []


def decoders(program: str | None, file: Path) -> dict[str, Callable[[], None]]:
    """Programs that decode all of a file on one thread."""
    found: dict[str, Callable[[], None]] = {}
    if program is not None:
        found["ffmpeg"] = partial(ffmpeg_decodes, program, file, PASSES, rgb=False)
        found["ffmpeg, RGB"] = partial(ffmpeg_decodes, program, file, PASSES, rgb=True)
    found["PyAV"] = partial(pyav_decodes, file, rgb=False)
    found["PyAV, RGB"] = partial(pyav_decodes, file, rgb=True)
    if installed("torchcodec"):
        found["torchcodec"] = partial(torchcodec_decodes, file)
    found["Tubelet"] = partial(tubelet_decodes, file)
    return found


def clips_table(settings: Settings) -> Record:
    """A clip from the middle of a file, as a model is shown it."""
    begun, machine = time.perf_counter(), machine_line()
    resize = round(settings.size * 8 / 7)
    view = View(
        frames=settings.frames,
        stride=2,
        size=settings.size,
        resize=resize,
        value_range=(-1.0, 1.0),
        views="1x1",
    )
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    with TemporaryDirectory(prefix="tubelet-bench-") as scratch:
        for name in CLIP_CODECS:
            for size in SIZES:
                case = f"{name}, {size[0]}x{size[1]}"
                frames = pictures(settings.videos, size, FRAMES)
                file = encode(CODECS[name], size, frames, Path(scratch, f"{case}.mp4"))
                programs = clip_programs(file, view, resize)
                answers = {name: program() for name, program in programs.items()}
                loose = answers.pop("torchcodec, resized within", None)
                same = check_same(answers, 2 * LEVELS)
                if loose is not None:  # another filter: shown, not held to be the same
                    same["torchcodec, resized within"] = difference(answers["Tubelet"], loose)
                seconds = take_turns(programs, budget_seconds=settings.seconds / 3, cpu_time=True, warm=True)
                rows += rows_of(case, seconds, 1, same)
                measured[case] = {"seconds": seconds, "difference": same}
    shape = f"({settings.frames}, 3, {settings.size}, {settings.size})"
    return Record(
        name="clips",
        title="Clips from files",
        about=(
            f"`tubelet bench clips`: from a file to the middle clip as float32 {shape} in -1..1: every second frame, "
            f"the shorter side to {resize}, the centre cropped; clips per second of one core's time. The videos have "
            f"{FRAMES} frames and are {footage_line(settings)}. The others resize with PyTorch's kernel for bytes, "
            "in which some values differ by a grey level from the official pixels that Tubelet gives; *resized "
            "within* is torchcodec's own resizing while decoding, which is another filter."
        ),
        columns=("video", "program", "clips", "times as fast", "difference"),
        rows=rows,
        notes=absent_readers(),
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def clip_programs(file: Path, view: View, resize: int) -> dict[str, Callable[[], Tensor]]:
    """From a file to a clip (F, 3, S, S), by each reader."""
    with Video(file) as video:
        indices: list[int] = view.test_indices(len(video))[0].tolist()
        size = shorter_side_size(video.height, video.width, resize)

    def others(reads: Reads) -> Tensor:
        return shown(reads(file, indices), size, view)

    def within() -> Tensor:
        from torchcodec.transforms import Resize  # pyright: ignore[reportMissingImports]

        decoder = torchcodec_decoder(file, "approximate", transforms=[Resize(size)])
        return shown(decoder.get_frames_at(indices).data, size, view)

    def ours() -> Tensor:
        os.utime(file)  # a file that is new: nothing of it is remembered
        with Video(file) as video:
            return view.test(video).pixels[0]

    programs: dict[str, Callable[[], Tensor]] = {
        n: partial(others, reads) for n, reads in readers_here().items()
    }
    if "torchcodec" in programs:
        programs["torchcodec, resized within"] = within
    return {**programs, "Tubelet": ours}


def shown(frames: Tensor, size: tuple[int, int], view: View) -> Tensor:
    """Resize, crop and scale as one does with PyTorch alone."""
    if tuple(frames.shape[-2:]) != size:
        frames = interpolate(frames, size, mode="bilinear")
    return to_range(centre_crop(frames, (view.height, view.width)), -1, 1).contiguous()
