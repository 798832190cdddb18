"""The spoken words of the GRID corpus, as docs/results.md shows them; for the scripts beside this file."""

from pathlib import Path

from tubelet.data import Table


def words(file: Path, margin_seconds: float) -> Table:
    """The words of `words.csv`, with a margin before and after each."""
    return Table(
        file=file, label=("word",), start="start_frame", end="end_frame", unit="frames", frame_rate=25,
        margin_seconds=margin_seconds, split="split",
    )  # fmt: skip
