"""The results folder while an evaluation is at work: what is done is on the disk, so that a killed one goes on.

Each process appends its rows to a file of its own, a batch at a time. Whoever begins gathers what is there into one
file; when all is done, the rows are put in their order and the parts go away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tubelet.errors import DataError
from tubelet.evaluation.manifest import MANIFEST, Manifest
from tubelet.evaluation.results import VIDEOS, VideoResult, read_rows, row_line
from tubelet.labels import Labels

DONE = "done.jsonl"
"""The rows of those who were at work before."""


def begin(folder: Path, manifest: Manifest) -> list[VideoResult]:
    """Make a results folder, or go on in one: the rows that are done.

    Raises:
        DataError: if the folder holds something else, or an evaluation with other settings.
    """
    if not (folder / MANIFEST).is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(
                f"{folder} exists, holds no evaluation, and is not overwritten: name another folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write(folder)
        return []
    there = Manifest.read(folder)
    differences = there.differences(manifest)
    if differences:
        raise DataError(
            f"{folder} holds another evaluation, which is not overwritten: name another folder. What differs:\n  "
            + "\n  ".join(differences)
        )
    if there.labels != manifest.labels:  # another threshold, which changes no row
        replace(there, labels=manifest.labels).write(folder)
    if (folder / VIDEOS).is_file():
        for file in parts(folder):  # of one who was killed while tidying up
            file.unlink()
        return read_rows(folder / VIDEOS, manifest.labels)
    rows = gathered(folder, manifest.labels)
    replace_rows(folder / DONE, rows, manifest.labels)
    for file in parts(folder):
        if file.name != DONE:
            file.unlink()
    return rows


def free(folder: Path, manifest: Manifest) -> Path:
    """The folder itself, or the first of `folder-2`, `folder-3` ... that is not there or holds this evaluation.

    Raises:
        DataError: if a folder on the way is damaged.
    """
    place, number = folder, 1
    while place.exists():
        if (place / MANIFEST).is_file() and not Manifest.read(place).differences(manifest):
            break
        number += 1
        place = folder.with_name(f"{folder.name}-{number}")
    return place


class Part:
    """The file that one process appends to.

    Args:
        folder: of the results.
        rank: the process.
        labels: the heads of the classifier.
    """

    def __init__(self, folder: Path, rank: int, labels: Labels) -> None:
        self.labels = labels
        self.file = folder / f"part-{rank}.jsonl"

    def write(self, rows: Iterable[VideoResult]) -> None:
        """Append rows; when this returns, they outlive the process."""
        text = "".join(row_line(row, self.labels) for row in rows)
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(text)


def finish(folder: Path, manifest: Manifest) -> None:
    """Put the rows of all processes in their order."""
    if (folder / VIDEOS).is_file():
        return
    rows = gathered(folder, manifest.labels)
    assert len(rows) == manifest.videos, f"{len(rows)} of {manifest.videos} videos are done"
    replace_rows(folder / VIDEOS, rows, manifest.labels)
    for file in parts(folder):
        file.unlink()


def gathered(folder: Path, labels: Labels) -> list[VideoResult]:
    """All rows of unfinished work, each video once, in their order."""
    rows = {row.index: row for file in parts(folder) for row in read_rows(file, labels, torn=True)}
    return [rows[index] for index in sorted(rows)]


def parts(folder: Path) -> list[Path]:
    """The files of unfinished work."""
    done = folder / DONE
    return [*([done] if done.is_file() else []), *sorted(folder.glob("part-*.jsonl"))]


def replace_rows(file: Path, rows: Sequence[VideoResult], labels: Labels) -> None:
    """Write rows as a file that is there whole, or not at all."""
    scratch = file.with_name(f"{file.name}.part")
    with scratch.open("w", encoding="utf-8") as opened:
        opened.writelines(row_line(row, labels) for row in rows)
    scratch.replace(file)
