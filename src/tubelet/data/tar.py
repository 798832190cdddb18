"""One shard: a tar file, and a note of what is in it until the index says so."""

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Head, Label, Labels


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


def put(file: Path, text: str) -> None:
    """Write a file that appears under its name when it is whole."""
    part = file.with_name(f"{file.name}.part")
    with part.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
