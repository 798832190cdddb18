"""What feeds a model: training input by worker processes, and a folder of files to labels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset

from tubelet.benchmarks.decoding import LEVELS, footage_line, rows_of, shown
from tubelet.benchmarks.footage import files_of
from tubelet.benchmarks.forward import ABSENT
from tubelet.benchmarks.programs import MODELS, is_installed, logits_of, write_model
from tubelet.benchmarks.readers import Reads, absent_readers, pyav_frames, readers_here
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import TOLERANCE, Settings, machine_line, macs_of
from tubelet.benchmarks.turns import check_same, cpu_seconds, on_cpu, take_turns
from tubelet.cores import cores
from tubelet.data.dataset import Batch, ClipDataset, mix
from tubelet.data.loader import group_batches
from tubelet.data.source import Sample
from tubelet.loading import load
from tubelet.precision import fastest_precision
from tubelet.prediction import Prediction
from tubelet.video.decode import Video
from tubelet.video.resizing import compiled
from tubelet.video.transforms import (
    draw_factors,
    draw_flip,
    random_crop,
    rescaled_size,
    shorter_side_size,
    to_range,
)
from tubelet.video.view import View

CLIPS = 16
"""Of a pass over the training input."""
BATCH = 4
MOST_FILES = 200
H200 = 0.45 * 790e12
"""FLOP/s of a training at 45 % of what an H200 does in bfloat16 matrix products."""


class PlainClips(Dataset[Tensor]):
    """Training clips as one writes them first: the same decoder and draws, PyTorch's resizing, floats."""

    def __init__(self, files: Sequence[Path], view: View) -> None:
        self.files, self.view = files, view

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """float32 (F, 3, S, S)."""
        view = self.view
        assert view.jitter is not None
        assert isinstance(view.resize, int)
        generator = torch.Generator().manual_seed(mix(0, 0, index))
        with Video(self.files[index]) as video:
            frames = video.frames(view.train_indices(len(video), None, generator))
        frames = interpolate(
            frames, shorter_side_size(frames.shape[-2], frames.shape[-1], view.resize), mode="bilinear"
        )
        size = rescaled_size(frames.shape[-2], frames.shape[-1], draw_factors(view.jitter, generator))
        frames = interpolate(frames, size, mode="bilinear")
        frames = random_crop(frames, (view.height, view.width), generator)
        return to_range(frames.flip(-1) if draw_flip(generator) else frames, -1, 1)


def input_table(settings: Settings) -> Record:
    """Training clips from files into batches, by as many workers as there are cores."""
    begun, machine = time.perf_counter(), machine_line()
    view = View.scenic(frames=settings.frames, size=settings.size, resize=round(settings.size * 8 / 7))
    workers = cores()
    with TemporaryDirectory(prefix="tubelet-bench-") as scratch:
        found = files_of(settings.videos, CLIPS, Path(scratch))
        files = [found[number % len(found)] for number in range(CLIPS)]
        plain = DataLoader(
            PlainClips(files, view), batch_size=BATCH, num_workers=workers, persistent_workers=True
        )
        samples = [Sample(path=file, labels=(0,)) for file in files]
        dataset = ClipDataset(samples, view)
        kept = ClipDataset(samples, view, keep_decoded=True)
        loaders = {
            name: group_batches(each, BATCH, workers=workers)[0]
            for name, each in {"Tubelet": dataset, "Tubelet, --keep-decoded": kept}.items()
        }

        def ours(loader: DataLoader[Batch]) -> Tensor:
            return sum_of(view.finish(batch.pixels.to(settings.device), batch.colour) for batch in loader)

        programs: dict[str, Callable[[], Tensor]] = {
            "DataLoader": lambda: sum_of(batch.to(settings.device) for batch in plain),
            **{name: partial(ours, loader) for name, loader in loaders.items()},
        }
        # Two resizings, each cut to bytes, may each be a level apart.
        answers = {"DataLoader": next(iter(plain))}
        answers |= {name: view.finish(next(iter(loader)).pixels) for name, loader in loaders.items()}
        same = check_same(answers, 2 * LEVELS)
        seconds = take_turns(programs, budget_seconds=settings.seconds)
        dataset[0]
        before = cpu_seconds()
        for number in range(min(CLIPS, 4)):
            dataset[number]
        each = (cpu_seconds() - before) / min(CLIPS, 4)
    rate = H200 / (2 * macs_of(settings.config(), training=True))
    return Record(
        name="input",
        title="Training input",
        about=(
            f"`tubelet bench input`: random clips of {settings.frames} frames of {settings.size}x{settings.size} "
            f"pixels (every second frame, jitter, crop, flip), in batches of {BATCH} by {workers} workers, ready for "
            f"the model on {settings.device}; clips per second until they are there. The videos are "
            f"{footage_line(settings)}. `DataLoader` uses Tubelet's decoder and draws, PyTorch's resizing, and sends "
            "floats. *Keep-decoded* is a pass after the first, whose frames each worker has kept. Resizing is "
            f"{'compiled by numba' if compiled() else 'done in numpy: numba is not installed'}."
        ),
        columns=("clips", "program", "rate", "times as fast", "difference"),
        rows=rows_of(f"{CLIPS} clips", seconds, CLIPS, same),
        notes=[
            f"A clip costs {each * 1000:.0f} ms of a core. An H200 that trains {settings.model} in bfloat16 at 45 % "
            f"of its peak takes {rate:.0f} clips a second: {rate * each:.0f} such cores keep it fed."
        ],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured={"seconds": seconds, "difference": same, "core_seconds_per_clip": each},
    )


def sum_of(batches: Any) -> Tensor:
    """Goes over batches, and touches each."""
    return torch.stack([batch[0, 0, 0, 0, 0].cpu() for batch in batches]).sum()


def files_table(settings: Settings) -> Record:
    """A folder of videos to labels, by Model 1: one for a laptop, and that of the settings."""
    begun, machine = time.perf_counter(), machine_line()
    fastest = fastest_precision(settings.where())
    small = replace(settings, model="ti-16x2", size=112, blocks=None)
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Any] = {}
    with TemporaryDirectory(prefix="tubelet-bench-") as scratch:
        files = files_of(settings.videos, MOST_FILES, Path(scratch)) if settings.videos else []
        files = files or files_of(None, min(MOST_FILES, 16), Path(scratch))
        for number, each in enumerate(dict.fromkeys((small, settings))):
            programs = file_programs(each, Path(scratch, str(number)))
            few = [files[0]]
            # The readers' programs resize with PyTorch, not with Pillow: other pixels, but nearly the same answer.
            same = check_same(
                {name: program(few) for name, program in programs.items()}, 10 * TOLERANCE["bfloat16"]
            )
            some = files
            if each != small:  # which is quick enough for all
                once = sum(on_cpu(partial(program, few)) for program in programs.values())
                some = files[: max(2, int(settings.seconds / (3 * once)))]
            seconds = take_turns(
                {name: partial(program, some) for name, program in programs.items()},
                budget_seconds=settings.seconds, warm=True,
            )  # fmt: skip
            case = f"{each.named()}, {each.frames}x{each.size}x{each.size}, {len(some)} files"
            rows += rows_of(case, seconds, len(some), same)
            measured[case] = {"seconds": seconds, "difference": same, "files": len(some)}
    return Record(
        name="files",
        title="From files to labels",
        about=(
            "`tubelet bench files`: a small Model 1 and that of the settings, one view of each file, float32; files "
            f"per second until all are answered. The videos are {footage_line(settings)}. `transformers` decodes as "
            "its documentation shows, with its own processor; the loops over other readers resize with PyTorch; all "
            "three use its model with PyTorch's fused attention, and the same weights and frames."
        ),
        columns=("files", "program", "rate", "times as fast", "difference"),
        rows=rows,
        notes=[
            f'`dtype="auto"` is {str(fastest.dtype).removeprefix("torch.")} here: {fastest.reason}.',
            *([] if is_installed("transformers") else [ABSENT.format("transformers", "transformers")]),
            *absent_readers(),
        ],
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured=measured,
    )


def file_programs(settings: Settings, folder: Path) -> dict[str, Callable[[list[Path]], Tensor]]:
    """From files to logits, by each library that is installed, with the same random weights."""
    device = settings.where()
    write_model(settings.config(), folder)
    view = load(folder).view
    programs: dict[str, Callable[[list[Path]], Tensor]] = {}
    if is_installed("transformers"):
        theirs = MODELS["transformers"](folder, torch.float32).to(device).eval()
        programs["transformers"] = partial(by_transformers, folder, theirs, view)
        for name, reads in readers_here().items():
            if name in ("torchcodec", "decord"):
                programs[f"{name}, transformers"] = partial(by_reader, reads, theirs, view)
    programs["Tubelet"] = partial(by_tubelet, load(folder).to(device))
    if fastest_precision(device).dtype != torch.float32:
        programs['Tubelet, dtype="auto"'] = partial(by_tubelet, load(folder).to(device, "auto"))
    return programs


def frames_of(file: Path, view: View) -> list[int]:
    """Which frames of a file the view shows."""
    with Video(file) as video:
        return view.test_indices(len(video))[0].tolist()


@torch.inference_mode()
def by_transformers(folder: Path, model: nn.Module, view: View, files: Sequence[Path]) -> Tensor:
    """Decode, the processor of the folder, the model; one file after the other."""
    from transformers import VivitImageProcessor

    processor = VivitImageProcessor.from_pretrained(folder)
    answers: list[Tensor] = []
    for file in files:
        frames = list(pyav_frames(file, frames_of(file, view)).permute(0, 2, 3, 1).numpy())
        inputs = processor(frames, return_tensors="pt")["pixel_values"]
        answers.append(logits_of(model(inputs.to(next(model.parameters()).device))).float().cpu())
    return torch.cat(answers)


@torch.inference_mode()
def by_reader(reads: Reads, model: nn.Module, view: View, files: Sequence[Path]) -> Tensor:
    """Decode by another reader, resize with PyTorch, the model; one file after the other."""
    answers: list[Tensor] = []
    side = view.resize if isinstance(view.resize, int) else min(view.height, view.width)
    for file in files:
        frames = reads(file, frames_of(file, view))
        clip = shown(frames, shorter_side_size(frames.shape[-2], frames.shape[-1], side), view)
        answers.append(logits_of(model(clip[None].to(next(model.parameters()).device))).float().cpu())
    return torch.cat(answers)


def by_tubelet(classifier: Any, files: Sequence[Path]) -> Tensor:
    """`Classifier.predict_many` with one view."""
    outcomes = list(classifier.predict_many(files, "1x1"))
    assert all(isinstance(outcome, Prediction) for outcome in outcomes), outcomes
    return torch.stack([outcome.logits for outcome in outcomes])
