"""`check`: every clip of a source decoded, and what is wrong with the whole."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.progress import track
from torch.utils.data import DataLoader

from tubelet.data.duplicates import near_duplicates
from tubelet.data.examine import Examiner, Finding
from tubelet.data.quarantine import Without
from tubelet.data.source import UNKNOWN, Listed, Sample, Source
from tubelet.data.workers import single_thread, worker_deaths
from tubelet.labels import Head, Labels

RANK = {"test": 2, "val": 1}
"""Of copies in several splits the ones of lower rank are to leave: those of `train`, which nothing is measured on."""


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Clips that show the same."""

    clips: tuple[Sample, ...]
    likeness: float
    """1: the same pixels; below: nearly the same (see `duplicates`)."""

    @property
    def leak(self) -> bool:
        """Whether they are in several splits."""
        return len({sample.split for sample in self.clips}) > 1

    @property
    def contradiction(self) -> bool:
        """Whether they have different labels."""
        return len({sample.labels for sample in self.clips}) > 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        clips = [{"video": sample.name, "split": sample.split} for sample in self.clips]
        return {"clips": clips, "likeness": self.likeness, "labels_differ": self.contradiction}


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What a split is made of. Numbers are of the clips that can be read; classes are of all."""

    clips: int
    readable: int
    missing: tuple[str, ...]
    """Annotated, and not on the disk."""
    sizes: dict[str, int]
    """Clips of each `width x height`, the most frequent first."""
    frame_rates: dict[str, int]
    """Clips of each frame rate, rounded to 0.01, the most frequent first."""
    frames: tuple[float, float, float]
    """Least, median and greatest number of frames."""
    seconds: tuple[float, float, float]
    """Least, median and greatest duration."""
    classes: dict[str, dict[str, int]]
    """For each head with classes, the clips of each class."""

    def absent(self, head: str) -> list[str]:
        """The classes of a head that no clip has."""
        return [name for name, count in self.classes[head].items() if not count]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found."""

    complete: bool
    """Whether all clips were decoded; if not, only what was is spoken of."""
    splits: dict[str, SplitReport]
    broken: tuple[tuple[Sample, str], ...]
    """Clips that cannot be read to their end, and why."""
    copies: tuple[Copies, ...]
    """Exact ones of all splits, near ones between splits."""
    torn: dict[str, tuple[str, ...]]
    """Groups that are in several splits: a speaker, a recording."""

    @property
    def leaks(self) -> list[Copies]:
        """Copies in several splits."""
        return [copies for copies in self.copies if copies.leak]

    @property
    def untrained(self) -> dict[str, list[str]]:
        """For each head the classes that no clip of `train` has, where there is a `train`."""
        train = self.splits.get("train")
        heads = train.classes if train is not None else {}
        return {head: absent for head in heads if train is not None and (absent := train.absent(head))}

    @property
    def sound(self) -> bool:
        """Whether nothing is broken, no split leaks into another, and every class can be learned."""
        contradictions = any(copies.contradiction for copies in self.copies)
        return not (self.broken or self.leaks or self.torn or self.untrained or contradictions)

    def quarantine(self) -> list[tuple[Sample, str]]:
        """What to leave out, and why: broken clips, and of copies in several splits those outside the best one."""
        found = dict(self.broken)
        for copies in self.leaks:
            best = max(copies.clips, key=lambda s: RANK.get(s.split, 0))
            for sample in copies.clips:
                if RANK.get(sample.split, 0) < RANK.get(best.split, 0):
                    kind = "the same as" if copies.likeness == 1 else "nearly the same as"
                    found.setdefault(sample, f"{kind} {best.name} of {best.split}")
        return list(found.items())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        broken = [{"video": s.name, "split": s.split, "error": why} for s, why in self.broken]
        exact = [copies.to_dict() for copies in self.copies if copies.likeness == 1]
        near = [copies.to_dict() for copies in self.copies if copies.likeness < 1]
        return {
            "complete": self.complete,
            "sound": self.sound,
            "splits": {
                name: vars(split) | {"classes_missing": {head: split.absent(head) for head in split.classes}}
                for name, split in self.splits.items()
            },
            "broken": broken,
            "exact_duplicates": exact,
            "near_duplicates_across_splits": near,
            "torn_groups": self.torn,
        }


@worker_deaths()
def check(source: Source, *, workers: int = 0, progress: bool = True) -> Report:
    """Decode every frame of every clip, and compare all clips with each other.

    An interruption (Ctrl-C) ends it early with a report of what was decoded.

    Args:
        source: the clips.
        workers: processes that decode; 0: this one.
        progress: show a progress bar.

    Raises:
        DataError: if the source's own files are not what they should be.
    """
    samples = [sample for split in source.splits for sample in source.samples(split)]
    loader: DataLoader[Finding] = DataLoader(
        Examiner(samples),
        batch_size=None,
        num_workers=workers,
        collate_fn=same,  # pyright: ignore[reportArgumentType]  # without batches it gets one item
        worker_init_fn=single_thread if workers else None,
    )
    findings: list[Finding] = []
    try:
        findings.extend(track(loader, "Decoding", total=len(samples), disable=not progress))
        complete = True
    except KeyboardInterrupt:
        complete = False
    missing = source.missing if isinstance(source, Listed | Without) else {}
    return Report(
        complete=complete,
        splits={
            split: describe(split, samples, findings, source.labels, missing.get(split, ()))
            for split in dict.fromkeys((*source.splits, *missing))
        },
        broken=tuple((samples[f.index], f.error) for f in findings if f.error),
        copies=(*exact_copies(samples, findings), *near_copies(samples, findings)),
        torn=torn_groups(samples),
    )


def describe(
    split: str,
    samples: Sequence[Sample],
    findings: Iterable[Finding],
    labels: Labels,
    missing: tuple[str, ...],
) -> SplitReport:
    """What a split is made of."""
    mine = [sample for sample in samples if sample.split == split]
    read = [f for f in findings if not f.error and samples[f.index].split == split]
    return SplitReport(
        clips=len(mine),
        readable=len(read),
        missing=missing,
        sizes=dict(Counter(f"{f.width}x{f.height}" for f in read).most_common()),
        frame_rates=dict(Counter(f"{round(f.frame_rate, 2):g}" for f in read).most_common()),
        frames=spread([f.frames for f in read]),
        seconds=spread([f.duration_seconds for f in read]),
        classes={
            head.name: class_counts(head, number, mine)
            for number, head in enumerate(labels.heads)
            if head.kind != "number"
        },
    )


def class_counts(head: Head, number: int, samples: Iterable[Sample]) -> dict[str, int]:
    """The clips of each class of a head."""
    counts = dict.fromkeys(head.classes, 0)
    for sample in samples:
        label = sample.labels[number]
        for place in (label,) if isinstance(label, int) else label:
            if place != UNKNOWN:
                counts[head.classes[int(place)]] += 1
    return counts


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Least, median and greatest; 0 of nothing."""
    return (min(values), median(values), max(values)) if values else (0, 0, 0)


def exact_copies(samples: Sequence[Sample], findings: Iterable[Finding]) -> list[Copies]:
    """The clips that show exactly the same."""
    by_digest: dict[str, list[Sample]] = {}
    for finding in findings:
        if not finding.error:
            by_digest.setdefault(finding.digest, []).append(samples[finding.index])
    return [Copies(clips=tuple(clips), likeness=1.0) for clips in by_digest.values() if len(clips) > 1]


def near_copies(samples: Sequence[Sample], findings: Iterable[Finding]) -> list[Copies]:
    """The pairs of clips of different splits that show nearly, not exactly, the same."""
    read = [f for f in findings if f.look is not None]
    splits = sorted({sample.split for sample in samples})
    groups = [splits.index(samples[f.index].split) for f in read]
    found: list[Copies] = []
    for pair in near_duplicates([f.look for f in read if f.look is not None], groups):
        first, second = read[pair.first], read[pair.second]
        if first.digest != second.digest:
            clips = (samples[first.index], samples[second.index])
            found.append(Copies(clips=clips, likeness=min(pair.likeness, 0.9999)))
    return found


def torn_groups(samples: Iterable[Sample]) -> dict[str, tuple[str, ...]]:
    """The groups that are in several splits."""
    places: dict[str, dict[str, None]] = {}
    for sample in samples:
        if sample.group is not None:
            places.setdefault(sample.group, {})[sample.split] = None
    return {group: tuple(splits) for group, splits in places.items() if len(splits) > 1}


def same(item: Finding) -> Finding:
    """Nothing is collated: findings come one by one."""
    return item
