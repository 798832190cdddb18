"""Writing shards: a source as tar files that are read in long runs, and need no thousands of small files."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from tubelet.data.encode import encode
from tubelet.data.quarantine import identity
from tubelet.data.shards import FORMAT, INDEX, VERSION
from tubelet.data.source import Sample, Source
from tubelet.data.tar import Encoded, Shard, finished, put, write_shard
from tubelet.data.workers import single_thread, worker_deaths
from tubelet.errors import ConfigError, DataError, DecodeError
from tubelet.labels import Labels

PLAN = "plan.json"
"""What is being written: found again by the same command after an interruption."""


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a source becomes shards.

    Whole files are copied byte for byte. A segment, a folder of images, and what has to be made smaller is encoded
    anew, as H.264 without sound, frames at their own times.

    Raises:
        ConfigError: where numbers make no sense.
    """

    clips_per_shard: int = 256
    """Clips in a tar file; the last one of a split has fewer."""
    short_side: int | None = None
    """Pixels that the shorter side of larger videos becomes; None: all keep their size."""
    crf: int = 17
    """Quality of what is encoded anew, 0 (lossless) to 51."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.clips_per_shard < 1:
            raise ConfigError(f"clips_per_shard={self.clips_per_shard} is below 1.")
        if self.short_side is not None and self.short_side < 2:
            raise ConfigError(f"short_side={self.short_side} is below 2 pixels.")
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"crf={self.crf} is not in 0..51.")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    clips: int
    shards: int
    left_out: tuple[dict[str, str], ...]
    """Clips that cannot be read: `video`, `split` and `error`."""


class Encoder(Dataset[Encoded]):
    """Samples as bytes, made in worker processes."""

    def __init__(self, samples: Sequence[Sample], settings: Sharding) -> None:
        self.samples = samples
        self.settings = settings

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Encoded:
        """One clip; what cannot be read says why."""
        sample, short_side = self.samples[index], self.settings.short_side
        try:
            with sample.open() as video:
                whole = sample.start_seconds is None and sample.end_seconds is None
                small = short_side is None or min(video.height, video.width) <= short_side
                if not (whole and small) or (sample.stored is None and sample.path.is_dir()):
                    return Encoded(data=encode(video, short_side, self.settings.crf))
            data = sample.path.read_bytes() if sample.stored is None else sample.stored.read()
            return Encoded(data=data, suffix=sample.path.suffix.lower() or ".mp4")
        except DecodeError as error:
            return Encoded(error=str(error))


@worker_deaths()
def write_shards(
    source: Source, out: Path, settings: Sharding, *, workers: int = 0, progress: bool = True
) -> Written:
    """Write all splits of a source to a folder, or go on where an interruption left it.

    The clips of a split are shuffled, always alike, so that every shard is a fair sample of it. A shard appears under
    its name when it is whole. The index comes last.

    Args:
        source: the clips.
        out: a new or empty folder, or one where the same was begun.
        settings: how.
        workers: processes that read and encode; 0: this one.
        progress: show a progress bar.

    Raises:
        ConfigError: if `out` holds anything else: nothing is overwritten.
        DataError: if `out` cannot be written to.
    """
    shards = list(plan(source, settings.clips_per_shard))
    intent = describe(source.labels, shards, settings)
    try:
        if begin(out, intent):
            return report(json.loads((out / INDEX).read_text(encoding="utf-8")))
        entries = {shard.file: found for shard in shards if (found := finished(out, shard)) is not None}
        todo = [shard for shard in shards if shard.file not in entries]
        loader = DataLoader(
            Encoder([sample for shard in todo for sample in shard.samples], settings),
            batch_size=None,
            num_workers=workers,
            collate_fn=same,  # pyright: ignore[reportArgumentType]  # without batches it gets one item
            worker_init_fn=single_thread if workers else None,
        )
        encoded = iter(track(loader, "Writing shards", disable=not progress))
        for shard in todo:
            entries[shard.file] = write_shard(out, shard, encoded, source.labels)
        next(encoded, None)  # the end, which closes the progress bar and the workers
        index = {
            "format": FORMAT,
            "version": VERSION,
            **intent,
            "clips": {split: count(entries, split) for split in source.splits},
            "shards": [entries[shard.file] for shard in shards],
        }
        put(out / INDEX, json.dumps(index, ensure_ascii=False))
        for shard in shards:
            (out / f"{shard.file}.json").unlink(missing_ok=True)
        (out / PLAN).unlink()
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror or error}). The same command goes on from here."
        ) from error
    return report(index)


def plan(source: Source, clips_per_shard: int) -> Iterator[Shard]:
    """The shards that a source becomes, always alike."""
    for split in source.splits:
        if not re.fullmatch(r"[\w-]+", split):
            raise ConfigError(
                f"The split {split!r} cannot be the name of a file: letters, digits, _ and - can."
            )
        samples = source.samples(split)
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).tolist()
        for number, first in enumerate(range(0, len(samples), clips_per_shard)):
            chosen = [samples[i] for i in order[first : first + clips_per_shard]]
            yield Shard(file=f"{split}-{number:06d}.tar", split=split, samples=chosen, first=first)


def describe(labels: Labels, shards: Sequence[Shard], settings: Sharding) -> dict[str, Any]:
    """What is to be written, as an index says it: two of these are the same work if they are equal."""
    digest = hashlib.sha256()
    for shard in shards:
        for sample in shard.samples:
            digest.update(repr((shard.file, identity(sample), sample.labels)).encode())
    return {"heads": labels.to_dict(), "settings": vars(settings), "source_sha256": digest.hexdigest()}


def begin(out: Path, intent: dict[str, Any]) -> bool:
    """Make the folder ready; True if everything is there already.

    Raises:
        ConfigError: if it holds anything else.
    """
    for name in (INDEX, PLAN):
        if (out / name).is_file():
            there = json.loads((out / name).read_text(encoding="utf-8"))
            if {key: there.get(key) for key in intent} != json.loads(json.dumps(intent)):
                raise ConfigError(
                    f"{out} holds shards of other clips, or made otherwise: give another folder."
                )
            return name == INDEX
    if out.exists() and (not out.is_dir() or any(file.name != f"{PLAN}.part" for file in out.iterdir())):
        raise ConfigError(f"{out} exists and holds no shards: give an empty or a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    put(out / PLAN, json.dumps(intent))
    return False


def count(entries: dict[str, dict[str, Any]], split: str) -> int:
    """The clips of a split in all shards."""
    return sum(len(entry["clips"]) for entry in entries.values() if entry["split"] == split)


def report(index: dict[str, Any]) -> Written:
    """What an index says was written."""
    shards = index["shards"]
    return Written(
        clips=sum(len(shard["clips"]) for shard in shards),
        shards=len(shards),
        left_out=tuple(clip for shard in shards for clip in shard["left_out"]),
    )


def same(item: Encoded) -> Encoded:
    """Nothing is collated: clips come one by one."""
    return item
