"""The tables, by name, in the order of docs/benchmarks.md."""

from collections.abc import Callable
from pathlib import Path

from tubelet.benchmarks.costs import growth_table, models_table, startup_table
from tubelet.benchmarks.decoding import clips_table, decode_table
from tubelet.benchmarks.exported import export_table
from tubelet.benchmarks.feeding import files_table, input_table
from tubelet.benchmarks.forward import encoder_table, forward_table, training_table
from tubelet.benchmarks.lighter import lighter_table
from tubelet.benchmarks.record import Record, page
from tubelet.benchmarks.settings import Settings
from tubelet.benchmarks.stream import stream_table
from tubelet.errors import DataError

TABLES: dict[str, Callable[[Settings], Record]] = {
    "forward": forward_table,
    "encoder": encoder_table,
    "models": models_table,
    "training": training_table,
    "growth": growth_table,
    "startup": startup_table,
    "decode": decode_table,
    "clips": clips_table,
    "input": input_table,
    "files": files_table,
    "lighter": lighter_table,
    "stream": stream_table,
    "export": export_table,
}
RECORDED = (*TABLES, "lighter_words", "lighter_volumes", "lighter_camera", "convert", "serving")
"""What docs/benchmarks.md shows, in this order; what is no table here is measured by the scripts in benchmarks/."""


def write_page(records: Path, file: Path) -> list[str]:
    """Write docs/benchmarks.md from those of a folder's JSON files that are there.

    Returns:
        The names of the tables that are not there.

    Raises:
        DataError: if none is.
    """
    there = [name for name in RECORDED if (records / f"{name}.json").exists()]
    if not there:
        raise DataError(f"{records} holds none of {', '.join(f'{name}.json' for name in RECORDED)}.")
    file.write_text(page(Record.read(records / f"{name}.json") for name in there), encoding="utf-8")
    return [name for name in RECORDED if name not in there]
