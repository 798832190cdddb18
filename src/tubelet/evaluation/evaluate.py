"""`evaluate`: a classifier on a split of a source, every video counted; killed, it goes on where it was."""

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from tubelet.classifier import Classifier
from tubelet.data.dataset import Batch, ClipDataset
from tubelet.data.loader import loaded
from tubelet.data.source import UNKNOWN, Sample, Source
from tubelet.data.workers import worker_deaths
from tubelet.distributed import Processes, processes
from tubelet.errors import DataError
from tubelet.evaluation import journal
from tubelet.evaluation.manifest import Manifest, describe
from tubelet.evaluation.multiview import answers, shuffled
from tubelet.evaluation.report import Report, report
from tubelet.evaluation.results import Results, VideoResult, finite, read_results
from tubelet.labels import Average, Label, Labels
from tubelet.video.checks import parse_views


@worker_deaths()
def evaluate(
    classifier: Classifier,
    source: Source,
    split: str = "test",
    views: str | None = None,
    *,
    average: Average = "logits",
    chunk: int = 8,
    workers: int = 0,
    out: str | Path | None = None,
    number: bool = False,
    shuffle_frames: bool = False,
    progress: bool = True,
) -> Report:
    """Measure a classifier on a split.

    Under torchrun the processes share the videos, each of which one process computes; all of them call this, see the
    folder `out`, and get the same report.

    Args:
        classifier: what is measured. Its class names must be the source's, in any order.
        source: the videos.
        split: which of them.
        views: temporal x spatial views such as `"4x3"`, which are averaged. None: the view's own.
        average: what of the views is averaged: their logits (official), or their probabilities.
        chunk: most views to put through the model at a time: less needs less memory. As many videos are decoded
            together as have no more views than this, one at least.
        workers: processes that decode; 0: this one.
        out: a folder for the results: `manifest.json` (what made them), `videos.jsonl` (a line for each video,
            unreadable ones included), `metrics.json`, and confusion matrices. It is written while the evaluation is
            at work: the same call goes on where another was killed, with the same numbers, and computes nothing
            again where it is finished. None: nothing is written.
        number: where `out` holds something else, take `out-2`, `out-3` ... in its place; `report.results.folder` says
            which.
        shuffle_frames: a control: show the frames of every clip in a random order (always the same one). What
            a model loses by it, it had from the order of the frames.
        progress: show a progress bar on standard error.

    Raises:
        DataError: if the classes are not the classifier's, no video can be read, or `out` holds something else, such
            as an evaluation with other settings.
        ConfigError: for views or an average that cannot be.
    """
    samples = source.samples(split)
    labels = relabelled(samples, source.labels, classifier.labels)
    used = views or classifier.view.views
    clips, crops = parse_views(used)
    with processes(str(classifier.device)) as who:
        classifier.to(who.device)
        manifest = describe(
            classifier, source, samples, split=split, views=used, average=average, shuffle_frames=shuffle_frames,
            processes=who.count,
        )  # fmt: skip
        folder = None if out is None else Path(out)
        if folder is not None and number:
            wanted = folder
            folder = who.from_first(lambda: journal.free(wanted, manifest))
        before = [] if folder is None else who.from_first(lambda: journal.begin(folder, manifest))
        dataset = ClipDataset(samples, classifier.view, views=used)
        work = Work(
            classifier=classifier,
            dataset=dataset,
            labels=labels,
            manifest=manifest,
            chunk=chunk,
            workers=workers,
        )
        console = Console(stderr=True, quiet=not (progress and who.first))
        if folder is not None and 0 < len(before) < len(samples):
            console.print(
                f"Going on in {folder}: {len(before)} of {len(samples)} videos were done.", soft_wrap=True
            )
        done = {row.index for row in before}
        mine = batches_of(len(samples), max(chunk // (clips * crops), 1), done)[who.rank :: who.count]
        found = carry_out(work, mine, folder, who, console)
        if folder is None:
            rows = {row.index: row for part in who.gather(found) for row in part}
            results = Results(manifest=manifest, rows=tuple(rows[index] for index in sorted(rows)))
        else:
            who.gather(None)  # all have written what they found
            who.from_first(lambda: journal.finish(folder, manifest))
            results = read_results(folder)
        if not results.answered:
            raise DataError(
                f"None of the {len(samples)} videos of {split} can be read: {results.failed[0].error}"
            )
        measured = report(results)
        if folder is not None and who.first:
            measured.write(folder)
        return measured


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do: videos in batches, to rows."""

    classifier: Classifier
    dataset: ClipDataset
    labels: Sequence[tuple[Label, ...]]
    """Of the samples, in the classifier's numbers."""
    manifest: Manifest
    chunk: int
    workers: int

    def rows(self, batches: list[list[int]]) -> Iterator[list[VideoResult]]:
        """The rows of each batch, in their order."""
        began = time.perf_counter()
        for batch in loaded(self.dataset, batches, self.workers):
            logits = self.answers(batch)
            ended = time.perf_counter()
            seconds = (ended - began) / (len(batch.indices) + len(batch.errors))
            began = ended
            rows = [self.row(index, seconds, error=why) for index, why in batch.errors]
            for index, numbers in zip(batch.indices, logits, strict=True):
                if finite(numbers):
                    rows.append(self.row(index, seconds, logits=array("f", numbers), views=batch.views))
                else:
                    rows.append(self.row(index, seconds, error="The model's outputs are not finite numbers."))
            yield rows

    def answers(self, batch: Batch) -> list[list[float]]:
        """The logits of the videos of a batch that could be read."""
        if not batch.indices:
            return []
        pixels = batch.pixels
        if self.manifest.shuffle_frames:
            parts = zip(pixels.split(batch.views), batch.indices, strict=True)
            pixels = torch.cat([shuffled(clips, index) for clips, index in parts])
        average = self.manifest.average
        return answers(self.classifier, pixels, batch.views, chunk=self.chunk, average=average).tolist()

    def row(self, index: int, seconds: float, **found: Any) -> VideoResult:
        """What became of a video."""
        given = {"logits": None, "views": 0, **found}
        return VideoResult.of(
            index, self.dataset.samples[index], labels=self.labels[index], seconds=round(seconds, 6), **given
        )


def carry_out(
    work: Work,
    batches: list[list[int]],
    folder: Path | None,
    who: Processes,
    console: Console,
) -> list[VideoResult]:
    """Do this process's share; every batch is on the disk before the next one begins."""
    part = None if folder is None else journal.Part(folder, who.rank, work.manifest.labels)
    found: list[VideoResult] = []
    shown = track(
        work.rows(batches) if batches else (),
        f"Evaluating {work.manifest.split}, {work.manifest.views} views",
        total=len(batches),
        console=console,
        transient=True,
        disable=console.quiet,
    )
    try:
        for rows in shown:
            if part is None:
                found += rows
            else:
                part.write(rows)
    except KeyboardInterrupt:
        if folder is not None:
            done = len(journal.gathered(folder, work.manifest.labels))
            console.print(
                f"Interrupted: {done} of {work.manifest.videos} videos are done and kept in {folder}. "
                "The same command goes on.",
                soft_wrap=True,
            )
        raise
    return found


def batches_of(count: int, size: int, done: set[int]) -> list[list[int]]:
    """The batches of so many videos that are not done as a whole.

    Which videos are together does not depend on what is done: a model's numbers are the same to the bit only in the
    same company.
    """
    everything = [list(range(first, min(first + size, count))) for first in range(0, count, size)]
    return [batch for batch in everything if not done.issuperset(batch)]


def relabelled(samples: Sequence[Sample], theirs: Labels, ours: Labels) -> list[tuple[Label, ...]]:
    """The labels of samples in the classifier's numbers.

    Raises:
        DataError: if the heads differ, or the source has classes that the classifier does not know.
    """
    names = [[head.name for head in labels.heads] for labels in (theirs, ours)]
    single = len(names[0]) == len(names[1]) == 1  # the only head may have another name
    if names[0] != names[1] and not single:
        raise DataError(
            f"The data have the heads {', '.join(names[0])}, the classifier {', '.join(names[1])}."
        )
    maps: list[list[int]] = []
    for their, our in zip(theirs.heads, ours.heads, strict=True):
        if their.kind != our.kind:
            raise DataError(
                f"The head {our.name!r} is {our.kind} in the classifier, {their.kind} in the data."
            )
        unknown = [name for name in their.classes if name not in our.classes]
        if unknown:
            raise DataError(f"The classifier's head {our.name!r} has no class {', '.join(unknown[:10])}.")
        if our.kind == "number" and len(their.classes) != len(our.classes):
            raise DataError(
                f"The data have the numbers {', '.join(their.classes)} for the head {our.name!r}, the classifier "
                f"says {', '.join(our.classes)}."
            )
        maps.append([our.classes.index(name) for name in their.classes])
    kinds = [head.kind for head in ours.heads]
    return [
        tuple(
            translated(label, numbers, kind == "number")
            for label, numbers, kind in zip(sample.labels, maps, kinds, strict=True)
        )
        for sample in samples
    ]


def translated(label: Label, numbers: Sequence[int], number: bool) -> Label:
    """A label whose class `i` is called `numbers[i]` elsewhere; `UNKNOWN` stays."""
    if isinstance(label, int):
        return label if label == UNKNOWN else numbers[label]
    if number:
        return tuple(label[numbers.index(place)] for place in range(len(numbers)))
    return tuple(sorted(float(numbers[int(place)]) for place in label))
