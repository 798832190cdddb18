"""Steps of training as batches: each a replica group of the step, loaded by the process that computes it."""

import math
from collections.abc import Iterator

from torch.utils.data import DataLoader, Sampler

from tubelet.data.dataset import Batch, ClipDataset, EpochSampler, runs_of
from tubelet.data.workers import quiet


class GroupSampler(Sampler[list[tuple[int, int]]]):
    """The items of an epoch, `(epoch, index)`, in replica groups: those of one process.

    A step takes the next `groups * size` items of the epoch's order, whoever holds them, and each process the
    groups that are its own: `groups / count` of every step, in their order. The last step of an epoch may lack
    items: then its last group is smaller, and those after it are empty lists.

    Set `epoch` before iterating, and `start` to begin at a later step of it.

    Args:
        order: of the items.
        size: items of a group.
        groups: groups of a step, over all processes.
        rank: of this process.
        count: of processes; divides `groups`.
    """

    def __init__(self, order: EpochSampler, size: int, groups: int, rank: int = 0, count: int = 1) -> None:
        assert groups % count == 0, f"{groups} groups on {count} processes"
        self.order, self.size, self.groups = order, size, groups
        self.mine = range(rank * groups // count, (rank + 1) * groups // count)
        self.epoch = self.start = 0

    @property
    def steps(self) -> int:
        """Steps of a whole epoch."""
        return math.ceil(len(self.order) / (self.groups * self.size))

    def __len__(self) -> int:
        return (self.steps - self.start) * len(self.mine)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Iterate over groups."""
        self.order.epoch = self.epoch
        items = list(self.order)
        for step in range(self.start, self.steps):
            for group in self.mine:
                first = (step * self.groups + group) * self.size
                yield items[first : first + self.size]


def group_batches(
    dataset: ClipDataset,
    size: int,
    *,
    groups: int = 1,
    rank: int = 0,
    count: int = 1,
    shuffle: bool = False,
    workers: int = 0,
    pin_memory: bool = False,
) -> tuple[DataLoader[Batch], GroupSampler]:
    """A loader of the replica groups of one process, and its sampler, whose `epoch` is to be set before each pass.

    Every sample comes once per pass, on one of the processes.

    Args:
        dataset: the samples.
        size: samples of a group.
        groups: groups of a step, over all processes.
        rank: of this process.
        count: of processes.
        shuffle: by the seed of the dataset and the epoch; otherwise in order.
        workers: processes that decode for this one; 0: itself.
        pin_memory: load into memory that a GPU reads fast.
    """
    order = EpochSampler(len(dataset), dataset.seed if shuffle else None, runs_of(dataset.samples))
    sampler = GroupSampler(order, size, groups, rank, count)
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=dataset.collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=quiet if workers else None,
    )
    return loader, sampler  # pyright: ignore[reportReturnType]  # collate_fn makes batches of the clips


def loaded(dataset: ClipDataset, batches: list[list[int]], workers: int) -> DataLoader[Batch]:
    """Batches of these items, in their order, once: for what looks at every video a single time."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=dataset.collate,
        worker_init_fn=quiet if workers else None,
    )  # pyright: ignore[reportReturnType]  # collate makes batches of the clips
