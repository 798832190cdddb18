"""A stage of a run: what the model sees in it, and where unreadable clips are named."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tubelet.data.dataset import Batch, ClipDataset
from tubelet.data.loader import GroupSampler, group_batches
from tubelet.data.source import Sample
from tubelet.distributed import Processes
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer, Train
from tubelet.training.folder import RunFolder
from tubelet.training.mirror import Mirror
from tubelet.training.step import Group


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one process sees of a step or of the validation clips."""

    indices: Sequence[int] = ()
    """Which clips."""
    inputs: Tensor
    """What the stage's part of the model takes, on the device, `(B, ...)`."""
    targets: Tensor
    """`(B, sum(classes))`, NaN where nobody said."""


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What one process computes of a step."""

    groups: list[Group]
    clips: list[int]
    """How many clips each has; 0 for one that stands for nothing."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run with one optimizer and one schedule."""

    name: str
    epochs: int
    optimizer: Optimizer
    steps_per_epoch: int
    who: Processes
    """Those that share its steps: all, or this one alone, where each computes the same."""
    sharded: bool = False
    """Whether the model is divided among them."""
    training: Callable[[int, int], Iterable[Portion]]
    """The steps of an epoch, from a step on."""
    held_out: Callable[[], Iterable[Shown]]
    """The validation clips of this process, by batches."""
    forward: Callable[[Tensor], Tensor]
    """To logits `(B, sum(classes))`."""
    learning: nn.Module
    """What is put in training mode."""
    copy: ViViT | None = None
    """Where the model is divided among the processes: a whole one in main memory, to be written, on the first."""
    mixup: float | None = None
    """As `Train.mixup`."""
    cutmix: float | None = None
    """As `Train.cutmix`."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The clips of one split, loaded by workers that outlive an epoch and keep what they have decoded."""

    samples: list[Sample]
    loader: DataLoader[Batch]
    """Of the replica groups of this process."""
    sampler: GroupSampler

    @classmethod
    def open(cls, run: Train, split: str, who: Processes) -> Self:
        """Random views in a random order for `train`, the middle view in order for anything else."""
        samples = list(run.data.samples(split))
        training = split == "train"
        labels, clips = run.data.labels, run.clips_per_video if training else 1
        dataset = ClipDataset(
            samples,
            run.view,
            views=None if training else "1x1",
            seed=run.seed,
            clips=clips,
            mirror=Mirror.of(labels, run.flip_swaps) if training and run.flip_swaps else None,
            keep_decoded=run.keep_decoded,
            labels=labels,
        )
        loader, sampler = group_batches(
            dataset,
            run.batch_size // run.replicas // clips,
            groups=run.replicas if training else who.count,
            rank=who.rank,
            count=who.count,
            shuffle=training,
            workers=run.workers,
            pin_memory=who.device.type == "cuda",
        )
        return cls(samples=samples, loader=loader, sampler=sampler)


@dataclass(kw_only=True)
class Names:
    """Unreadable clips, each named and counted once, whichever process met it."""

    folder: RunFolder
    console: Console
    who: Processes
    known: list[str] = field(default_factory=list[str])
    """Those that are in the log."""
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """Those of this process that are not, and why."""

    def note(self, samples: Sequence[Sample], errors: Iterable[tuple[int, str]]) -> None:
        """Remember those that are new; one process alone says so at once."""
        self.waiting.update({samples[number].name: why for number, why in errors})
        if self.waiting and self.who.count == 1:
            self.tell()

    def tell(self) -> None:
        """Say and log what any process has met; all must call."""
        for met in self.who.gather(self.waiting):
            for name, why in met.items():
                if name not in self.known:
                    self.known.append(name)
                    self.console.print(
                        f"[yellow]Unreadable, left out ({len(self.known)} so far):[/] {escape(name)}: {escape(why)}"
                    )
                    self.folder.log(event="unreadable", video=name, error=why)
        self.waiting = {}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all stages of a run share."""

    run: Train
    model: ViViT
    who: Processes
    folder: RunFolder
    console: Console
    names: Names
    splits: dict[str, Split]
