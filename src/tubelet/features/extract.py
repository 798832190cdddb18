"""`extract_features`: features of many videos into a Parquet file; killed, it goes on where it was."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from tubelet.classifier import Classifier
from tubelet.data.dataset import ClipDataset
from tubelet.data.loader import loaded
from tubelet.data.source import Sample, Source
from tubelet.data.workers import worker_deaths
from tubelet.distributed import processes
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.evaluate import batches_of
from tubelet.features import journal
from tubelet.features.columns import Row, check_parquet
from tubelet.features.description import Description, Storage, describe
from tubelet.features.file import Features, read_features
from tubelet.features.layer import HEAD, Layer, Pool, video_features
from tubelet.labels import Head
from tubelet.video.checks import parse_views

KEEP_SECONDS = 20.0
"""So much work is lost at most when a process is killed, and what `KEEP_BYTES` hold."""
KEEP_BYTES = 2**25


@worker_deaths()
def extract_features(
    classifier: Classifier,
    data: Source | Sequence[str | Path],
    out: str | Path,
    *,
    layer: str = HEAD,
    pool: Pool | None = None,
    splits: Sequence[str] | None = None,
    views: str | None = None,
    storage: Storage = "float32",
    chunk: int = 8,
    workers: int = 0,
    progress: bool = True,
) -> Features:
    """Features of all videos, as a file that says what made it.

    The memory does not grow with the number of videos. A video that cannot be read is a row with its error. Under
    torchrun the processes share the videos; all of them call this and see the folder of `out`.

    Args:
        classifier: whose features.
        data: labelled clips, or just videos: files, or folders of images.
        out: the Parquet file. It is there when it is whole; until then the work is in the folder `out` + `.parts`.
            The same call goes on where another was killed, and computes nothing where it is finished.
        layer: `head`: the vector that the head sees. `encoder`, or `spatial` and `temporal` of Model 2: the tokens
            that come out of an encoder; `encoder.3`: those behind its third block. What is behind the layer is not
            computed.
        pool: what becomes of tokens: `mean` (None), the `class` token, `moments`, or `none`; see
            `tubelet.features.layer.Pool`. One vector is averaged over the views; of several those of each view are
            kept.
        splits: which splits of the source; None: all of them.
        views: temporal x spatial views such as `"4x3"`. None: the view's own.
        storage: `float16` halves the file.
        chunk: most views to put through the model at a time. As many videos are decoded together as have no more
            views than this, one at least.
        workers: processes that decode, ahead of the model; 0: this one, in turn with it.
        progress: show a progress bar on standard error.

    Raises:
        DataError: if no video can be read, or `out` holds other features.
        ConfigError: for a layer or views that cannot be, or without pyarrow.
    """
    check_parquet()
    if storage not in ("float32", "float16"):
        raise ConfigError(f"storage={storage!r} is not float32 or float16.")
    file, wanted, views = Path(out), Layer.of(layer, pool), views or classifier.view.views
    wanted.check(classifier.model)
    clips, crops = parse_views(views)
    samples, heads, place = listed(data, splits)
    with processes(str(classifier.device)) as who:
        classifier.to(who.device)
        description = describe(classifier, wanted, samples, heads, data=place, views=views, storage=storage)
        console = Console(stderr=True, quiet=not (progress and who.first))
        done = who.from_first(lambda: found_there(file, description))
        if done is None:
            if who.first:
                shutil.rmtree(journal.parts_of(file), ignore_errors=True)  # of one killed while tidying up
            return read_features(file)
        if done:
            console.print(
                f"Going on with {file}: {len(done)} of {len(samples)} videos were done.", soft_wrap=True
            )
        batches = batches_of(len(samples), max(chunk // (clips * crops), 1), done)
        begin, end = (len(batches) * (who.rank + step) // who.count for step in (0, 1))
        work = Extraction(
            classifier=classifier,
            layer=wanted,
            dataset=ClipDataset(samples, classifier.view, views=views),
            description=description,
            out=file,
            chunk=chunk,
            workers=workers,
        )
        work.carry_out(batches[begin:end], console)
        who.gather(None)  # all have written what they found
        who.from_first(lambda: put_in_place(file, description))
        return read_features(file)


def listed(
    data: Source | Sequence[str | Path], splits: Sequence[str] | None
) -> tuple[list[Sample], tuple[Head, ...], str]:
    """All clips, the heads that their labels answer, and what the data are called.

    Raises:
        DataError: if there is none, or no such split.
        ConfigError: if splits of mere videos are asked for.
    """
    if isinstance(data, Sequence):
        if splits is not None:
            raise ConfigError(f"splits={splits}: a list of videos has none.")
        if isinstance(data, str) or not data:
            raise DataError("There are no videos: give a source, or a list of files.")
        return [Sample(path=Path(video), labels=(), split="") for video in data], (), f"{len(data)} videos"
    names = data.splits if splits is None else tuple(dict.fromkeys(splits))
    samples = [sample for name in names for sample in data.samples(name)]
    return samples, data.labels.heads, repr(data)


def found_there(file: Path, description: Description) -> set[int] | None:
    """The videos that are done; None where the file is there, whole.

    Raises:
        DataError: if something else is there.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        return journal.begin(file, description)
    differences = read_features(file).description.differences(description)
    if differences:
        raise DataError(
            f"{file} holds other features, and is not overwritten: name another file. What differs:\n  "
            + "\n  ".join(differences)
        )
    return None


def put_in_place(file: Path, description: Description) -> None:
    """Make the file of all that was found.

    Raises:
        DataError: if that is nothing; the work is then thrown away, so that the next call tries again.
    """
    folder = journal.parts_of(file)
    errors = [journal.read(part, ["error"])["error"].to_pylist() for part in journal.parts(folder)]
    told = [error for part in errors for error in part if error is not None]
    if len(told) == sum(map(len, errors)):
        shutil.rmtree(folder)
        raise DataError(f"None of the {description.videos} videos has features: {told[0]}")
    journal.finish(file, description)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What there is to do: videos in batches, to rows on the disk."""

    classifier: Classifier
    layer: Layer
    dataset: ClipDataset
    description: Description
    out: Path
    chunk: int
    workers: int

    def carry_out(self, batches: list[list[int]], console: Console) -> None:
        """Do some batches; every few of them are on the disk before the next ones begin."""
        shown = track(
            self.rows(batches) if batches else (),
            f"Features of {len(self.dataset)} videos",
            total=len(batches),
            console=console,
            transient=True,
            disable=console.quiet,
        )
        waiting: list[Row] = []
        kept = time.monotonic()
        try:
            for rows in shown:
                gap = bool(waiting) and rows[0].index != waiting[-1].index + 1  # a part has neighbours only
                full = (len(waiting) + len(rows)) * self.description.row_bytes > KEEP_BYTES
                if waiting and (gap or full or time.monotonic() - kept > KEEP_SECONDS):
                    self.keep(waiting)
                    waiting, kept = [], time.monotonic()
                waiting += rows
        except KeyboardInterrupt:
            console.print(
                f"Interrupted: what is done is kept in {journal.parts_of(self.out)}. The same command goes on.",
                soft_wrap=True,
            )
            raise
        finally:
            if waiting:
                self.keep(waiting)

    def keep(self, rows: Sequence[Row]) -> None:
        """Put rows on the disk."""
        journal.write(self.out, rows, self.dataset.samples, self.description)

    def rows(self, batches: list[list[int]]) -> Iterator[list[Row]]:
        """The rows of each batch, in their order."""
        for batch in loaded(self.dataset, batches, self.workers):
            rows = [Row(index=index, vector=None, error=why) for index, why in batch.errors]
            if batch.indices:
                found = video_features(self.classifier, self.layer, batch.pixels, batch.views, self.chunk)
                rows += [
                    self.row(index, one.numpy()) for index, one in zip(batch.indices, found, strict=True)
                ]
            yield sorted(rows, key=lambda row: row.index)

    def row(self, index: int, vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> Row:
        """What became of a video that could be read."""
        shape, storage = self.description.shape, self.description.storage
        if vector.shape != shape:  # of a view without a crop the tokens are as many as the frames are large
            return Row(
                index=index, vector=None, error=f"Its features are {vector.shape}, those of the file {shape}."
            )
        if not np.isfinite(vector).all() or np.abs(vector).max() > np.finfo(storage).max:
            return Row(
                index=index, vector=None, error=f"The model's features are not finite numbers of {storage}."
            )
        return Row(index=index, vector=vector)
