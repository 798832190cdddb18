"""`tubelet search CLIP FEATURES`: which videos are like a clip."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from tubelet.features.search import Hit


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which videos of a file of features are like a clip: those whose vectors have the largest cosine with its.

    The clip is looked at by the model that made the file, at the same layer and with the same views.
    """

    clip: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CLIP")]
    """A video file or a folder of images. Where it is in the file itself, it is left out."""
    features: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FEATURES")]
    """A file that tubelet features made."""
    top: int = 10
    """How many videos."""
    start_seconds: float | None = None
    """Look at the clip from here."""
    end_seconds: float | None = None
    """Look at the clip up to here."""
    model: str | None = None
    """Where the model is now. Default: where it was when the file was made."""
    json: str | None = None
    """Write the videos as JSON to this new file; - for standard output, in place of the table."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Search, prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.features.file import read_features
    from tubelet.features.search import maker, search

    if options.json not in (None, "-") and Path(str(options.json)).exists():
        raise FileExistsError(f"{options.json} exists and is not overwritten: name another file.")
    features = read_features(options.features)
    found = search(
        options.clip,
        features,
        maker(features, options.model).to(options.device),
        start_seconds=options.start_seconds,
        end_seconds=options.end_seconds,
        top=options.top,
    )
    if options.json is not None:
        values: dict[str, Any] = {"clip": str(options.clip), "features": str(options.features)}
        text = json.dumps({**values, "found": [hit.to_dict() for hit in found]}, indent=2, ensure_ascii=False)
        if options.json == "-":
            sys.stdout.write(text + "\n")
            return 0
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    stdout().print(table_of(found))
    return 0


def table_of(found: "list[Hit]") -> "Table":
    """A row for each video, the likest first."""
    from rich.table import Table

    table = Table()
    table.add_column("cosine", justify="right")
    table.add_column("video", overflow="fold")
    times = any(hit.start_seconds is not None or hit.end_seconds is not None for hit in found)
    heads = list(found[0].labels) if found else []
    for column in (*(("seconds",) if times else ()), *heads):
        table.add_column(column)
    for hit in found:
        end = "end" if hit.end_seconds is None else f"{hit.end_seconds:.2f}"
        part = [f"{hit.start_seconds or 0:.2f}-{end}"] if times else []
        table.add_row(f"{hit.similarity:.4f}", hit.path, *part, *(named(hit.labels[head]) for head in heads))
    return table


def named(label: Any) -> str:
    """A label of a table's cell."""
    if label is None:
        return ""
    return ", ".join(map(str, label)) if isinstance(label, list) else str(label)
