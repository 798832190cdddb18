"""`tubelet bench`: how fast the models are on this machine, beside other libraries that are installed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How fast the models are on this machine, beside other libraries that are installed."""

    tables: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[TABLE ...]")] = ()
    """forward, encoder, models, training, growth, startup, decode, clips, input, files, lighter,
    stream, export. Default: all of them."""
    model: str = "b-16x2"
    """Model 1 of a named size; Models 2, 3 and 4 are those of the same size."""
    frames: int = 32
    """Frames of a clip."""
    size: int = 224
    """Pixels of the side of a frame."""
    blocks: int | None = None
    """Fewer blocks than the model has, to be done sooner. Default: all."""
    seconds: float = 60.0
    """How long each comparison may take; each has three rounds at least, and fifteen at most."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    videos: Path | None = None
    """A folder of videos to read, in the tables about files. Default: videos that are made."""
    threads: int | None = None
    """Threads of the CPU to compute with. Default: PyTorch's own choice."""
    out: Path | None = None
    """Write each table as JSON into this folder."""
    docs: Path | None = None
    """Write this page from the JSON files in the folder of `--out`; with no TABLE, nothing is measured."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Bench, prog=prog, args=arguments)
    import torch

    from tubelet.benchmarks.settings import Settings
    from tubelet.benchmarks.tables import TABLES, write_page
    from tubelet.cli.console import stdout
    from tubelet.errors import ConfigError

    unknown = [name for name in options.tables if name not in TABLES]
    if unknown:
        raise ConfigError(f"There is no table {unknown[0]!r}. There are: {', '.join(TABLES)}.")
    if options.docs is not None and options.out is None:
        raise ConfigError("--docs is written from JSON files: say with --out in which folder they are.")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    settings = Settings(
        model=options.model, frames=options.frames, size=options.size, blocks=options.blocks,
        seconds=options.seconds, device=options.device, videos=options.videos,
    )  # fmt: skip
    console = stdout()
    for name in options.tables or (() if options.docs is not None else TABLES):
        record = TABLES[name](settings)
        console.print(record.table())
        if options.out is not None:
            console.print(f"{record.write(options.out)}, {record.seconds:.0f} s", highlight=False)
    if options.docs is not None and options.out is not None:
        absent = write_page(options.out, options.docs)
        console.print(
            f"{options.docs}" + (f", without {', '.join(absent)}" if absent else ""), highlight=False
        )
    return 0
