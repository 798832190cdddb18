"""`ClipDataset`: samples as tensors, decoded in worker processes, uint8 until the model needs them.

Legend: B batch, V views, F frames, C channels, H W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from tubelet.data.source import UNKNOWN, Sample
from tubelet.data.workers import single_thread
from tubelet.errors import DecodeError
from tubelet.labels import Label, Labels
from tubelet.video.decode import Video
from tubelet.video.view import Frames, View


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What became of one sample: its pixels, or why there are none."""

    index: int
    """Which sample, in the order given to the dataset."""
    pixels: Tensor | None
    """uint8 `(V, F, C, H, W)`; None for a video that cannot be read."""
    flipped: tuple[bool, ...] = ()
    """Training: which of the V are mirror images."""
    colour: Tensor | None = None
    """Training, of a view with `colour`: float32 `(V, 6)`."""
    error: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples together. Unreadable ones are in `errors` and in nothing else."""

    pixels: Tensor
    """uint8 `(B * V, F, C, H, W)`, the views of a sample side by side."""
    labels: Tensor
    """int64 `(B, heads)`: the class; `UNKNOWN` (-1) where nobody said, and for heads that are not `single`."""
    targets: Tensor
    """float32 `(B, sum(classes))`: what the outputs should become (`Labels.targets`), NaN where nobody said. `(B, 0)`
    of a dataset that was not given its labels."""
    indices: tuple[int, ...]
    """Which samples: B numbers."""
    views: int
    """V. Of training clips 1: each is a sample of its own, of its own labels."""
    colour: Tensor | None
    """Training, of a view with `colour`: float32 `(B, 6)`, for `View.finish`."""
    errors: tuple[tuple[int, str], ...]
    """The number of each sample that could not be read, and why."""


class ClipDataset(Dataset[Clip]):
    """Samples as the view shows them.

    A clip depends on nothing but (seed, epoch, index): neither on the workers nor on what was asked before.
    An item is asked for by `(epoch, index)`, so that workers which outlive an epoch know which one it is.

    Args:
        samples: what to show.
        view: how.
        views: test views such as `"4x3"`; None: one random view, for training.
        seed: of the random views.
        clips: training: random clips of each sample, side by side; it is decoded once for all of them.
        mirror: training: from the labels of a clip to those of its mirror image.
        keep_decoded: keep the frames of each clip in memory once decoded (in every worker the clips that it
            has seen): many epochs over short clips of long videos then decode once.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        view: View,
        *,
        views: str | None = None,
        seed: int = 0,
        clips: int = 1,
        mirror: Callable[[Sequence[Label]], Sequence[Label]] | None = None,
        keep_decoded: bool = False,
        labels: Labels | None = None,
    ) -> None:
        self.samples = list(samples)
        self.view = view
        self.views = views
        self.seed = seed
        self.clips = clips
        self.mirror = mirror
        self.keep_decoded = keep_decoded
        self.labels = labels
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int | tuple[int, int]) -> Clip:
        """One sample, by index (epoch 0) or `(epoch, index)`."""
        epoch, number = (0, index) if isinstance(index, int) else index
        try:
            return self._clip(epoch, number)
        except DecodeError as error:
            return Clip(index=number, pixels=None, error=str(error))

    def collate(self, clips: Sequence[Clip]) -> Batch:
        """Clips as one batch."""
        read = [clip for clip in clips if clip.pixels is not None]
        stacked = [clip.pixels for clip in read if clip.pixels is not None]
        colours = [clip.colour for clip in read if clip.colour is not None]
        rows = [row for clip in read for row in self._rows(clip)]
        classes = [[label if isinstance(label, int) else UNKNOWN for label in row] for row in rows]
        views = len(stacked[0]) if stacked else 0
        each = self.clips if self.views is None else 1
        return Batch(
            # By PyTorch, which in a worker puts them together in the memory that it shares with the trainer.
            pixels=default_collate(stacked).flatten(0, 1) if stacked else torch.empty(0, dtype=torch.uint8),
            labels=torch.tensor(classes, dtype=torch.int64),
            targets=torch.empty(len(rows), 0) if self.labels is None else self.labels.targets(rows),
            indices=tuple(clip.index for clip in read for _ in range(each)),
            views=views // each,
            colour=torch.cat(colours) if colours else None,
            errors=tuple((clip.index, clip.error) for clip in clips if clip.pixels is None),
        )

    def _clip(self, epoch: int, number: int) -> Clip:
        if number in self._kept:
            return self._look(self._kept[number], epoch, number)
        with self.samples[number].open() as video:
            if not self.keep_decoded:
                return self._look(video, epoch, number)
            self._kept[number] = Kept.of(video)
        return self._look(self._kept[number], epoch, number)

    def _look(self, video: Frames, epoch: int, number: int) -> Clip:
        if self.views is not None:
            return Clip(index=number, pixels=self.view.test_uint8(video, self.views).pixels)
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, number))
        drawn = self.view.train_clips(video, generator, self.clips)
        return Clip(index=number, pixels=drawn.pixels, flipped=drawn.flipped, colour=drawn.colour)

    def _rows(self, clip: Clip) -> list[Sequence[Label]]:
        """The labels of what a clip shows: once for test views, of each for training."""
        labels = self.samples[clip.index].labels
        if self.views is not None:
            return [labels]
        return [self.mirror(labels) if self.mirror is not None and flip else labels for flip in clip.flipped]


@dataclass(frozen=True, eq=False)
class Kept:
    """The decoded frames of a clip, as a `View` asks for them."""

    pixels: Tensor
    """uint8 `(L, 3, H, W)`."""
    timestamps: NDArray[np.float64]
    duration_seconds: float

    @classmethod
    def of(cls, video: Video) -> Self:
        """All frames of a video."""
        return cls(video.frames(range(len(video))), video.timestamps, video.duration_seconds)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.pixels.shape[2]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.pixels.shape[3]

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, indices: NDArray[np.int64]) -> Tensor:
        """These frames, in this order."""
        return self.pixels[torch.from_numpy(indices)]


def mix(*numbers: int) -> int:
    """Some whole numbers as one seed of 63 bits: neighbours give seeds that have nothing in common."""
    state = 0
    for number in numbers:  # SplitMix64 (Steele, Lea and Flood 2014)
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
        state ^= state >> 31
    return state >> 1


class EpochSampler(Sampler[tuple[int, int]]):
    """The items of one epoch as `(epoch, index)`: shuffled by (seed, epoch), or in order.

    Set `epoch` before iterating.

    Args:
        length: number of samples.
        seed: of the order; None: in order.
        runs: lengths of the runs of samples that are stored together, such as shards (see `runs_of`). The runs
            are shuffled, and the samples within each: a pass reads one run after the other. None: one run.
    """

    def __init__(self, length: int, seed: int | None, runs: Sequence[int] | None = None) -> None:
        self.length = length
        self.seed = seed
        self.runs = [length] if runs is None else list(runs)
        self.epoch = 0
        assert sum(self.runs) == length, f"{length} samples in runs of {sum(self.runs)}"

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over `(epoch, index)`."""
        if self.seed is None:
            return iter([(self.epoch, index) for index in range(self.length)])
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
        starts = list(accumulate(self.runs, initial=0))
        several = len(self.runs) > 1  # the order of a single run stays what it has always been
        runs: list[int] = torch.randperm(len(self.runs), generator=generator).tolist() if several else [0]
        order = [
            starts[run] + place
            for run in runs
            for place in torch.randperm(self.runs[run], generator=generator).tolist()
        ]
        return iter([(self.epoch, index) for index in order])


def runs_of(samples: Sequence[Sample]) -> list[int] | None:
    """How many samples in a row are in the same shard; None where they are not in shards."""
    if not samples or any(sample.stored is None for sample in samples):
        return None
    return [len(list(run)) for _, run in groupby(samples, lambda s: s.stored.file if s.stored else "")]


def batches(
    dataset: ClipDataset, batch_size: int, *, shuffle: bool, workers: int = 0, pin_memory: bool = False
) -> tuple[DataLoader[Batch], EpochSampler]:
    """A loader of batches, and its sampler, whose `epoch` is to be set before each pass.

    Every sample comes once per pass; the last batch may be smaller.
    """
    sampler = EpochSampler(len(dataset), dataset.seed if shuffle else None, runs_of(dataset.samples))
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=dataset.collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=single_thread if workers else None,
    )
    return loader, sampler  # pyright: ignore[reportReturnType]  # collate_fn makes batches of the clips
