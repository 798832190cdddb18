"""Writing shards: a source as tar files that are read in long runs, and need no thousands of small files."""

import hashlib
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from tubelet.data.dataset import single_thread
from tubelet.data.encode import encode
from tubelet.data.quarantine import identity
from tubelet.data.shards import FORMAT, INDEX, VERSION
from tubelet.data.source import UNKNOWN, Sample, Source
from tubelet.errors import ConfigError, DataError, DecodeError
from tubelet.labels import Head, Label, Labels

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


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The bytes of a clip, or why there are none."""

    data: bytes = b""
    suffix: str = ".mp4"
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar file that is to be written."""

    file: str
    split: str
    samples: Sequence[Sample]
    first: int
    """Number of its first clip in its split."""


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


def finished(out: Path, shard: Shard) -> dict[str, Any] | None:
    """What a shard holds that was written before an interruption."""
    note, file = out / f"{shard.file}.json", out / shard.file
    if not (note.is_file() and file.is_file()):
        return None
    entry = json.loads(note.read_text(encoding="utf-8"))
    return entry if file.stat().st_size == entry["bytes"] else None


def write_shard(out: Path, shard: Shard, encoded: Iterator[Encoded], labels: Labels) -> dict[str, Any]:
    """Write one tar file and the note of what is in it; the file gets its name last."""
    part, clips, left_out = out / f"{shard.file}.part", list[dict[str, Any]](), list[dict[str, str]]()
    with (
        part.open("wb") as opened,
        tarfile.open(fileobj=opened, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for number, sample in enumerate(shard.samples, start=shard.first):
            clip = next(encoded)
            if clip.error:
                left_out.append({"video": sample.name, "split": shard.split, "error": clip.error})
                continue
            key = f"{number:08d}"
            add(tar, key + clip.suffix, clip.data)
            add(tar, f"{key}.json", json.dumps(told(sample, labels), ensure_ascii=False).encode())
            if [head.kind for head in labels.heads] == ["single"] and sample.labels[0] != UNKNOWN:
                add(tar, f"{key}.cls", str(sample.labels[0]).encode())
            clips.append(
                {
                    "name": key + clip.suffix,
                    "labels": list(sample.labels),
                    "group": sample.group,
                    "id": sample.id,
                    "length": len(clip.data),
                    "crc32": zlib.crc32(clip.data),
                }
            )
    with part.open("rb") as opened:
        os.fsync(opened.fileno())
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    with tarfile.open(part) as tar:
        offsets = {member.name: member.offset_data for member in tar}
    entry = {
        "file": shard.file,
        "split": shard.split,
        "bytes": part.stat().st_size,
        "sha256": digest,
        "clips": [clip | {"offset": offsets[clip["name"]]} for clip in clips],
        "left_out": left_out,
    }
    put(out / f"{shard.file}.json", json.dumps(entry, ensure_ascii=False))
    part.replace(out / shard.file)
    return entry


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """One file; nothing of time or user is noted, so that the same clips give the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, BytesIO(data))


def told(sample: Sample, labels: Labels) -> dict[str, Any]:
    """What the JSON file beside a clip says of it: labels by name, and where it came from."""
    named = {head.name: name_of(head, label) for head, label in zip(labels.heads, sample.labels, strict=True)}
    times = {"start_seconds": sample.start_seconds, "end_seconds": sample.end_seconds}
    return {"labels": named, "video": sample.name, **times, "id": sample.id, "group": sample.group}


def name_of(head: Head, label: Label) -> Any:
    """A label by name: a class, a list of classes, a list of numbers, or None."""
    if label == UNKNOWN:
        return None
    if isinstance(label, int):
        return head.classes[label]
    return list(label) if head.kind == "number" else [head.classes[int(number)] for number in label]


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


def put(file: Path, text: str) -> None:
    """Write a file that appears under its name when it is whole."""
    part = file.with_name(f"{file.name}.part")
    with part.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)


def same(item: Encoded) -> Encoded:
    """Nothing is collated: clips come one by one."""
    return item
