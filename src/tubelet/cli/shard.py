"""`tubelet shard DATA OUT`: clips as tar files, for training that streams them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tubelet.cli.data import source_from_flags, with_data


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the shards go. A record of its own because tyro takes the arguments of records last, and DATA is one."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """A new folder."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Write clips into tar files (the WebDataset layout) with an index, to train from the disk or over HTTP.

    Whole files are copied; segments, folders of images and what becomes smaller is encoded anew (H.264, no sound). A
    run that was interrupted goes on by the same command; nothing is overwritten.
    """

    data: Any
    """A folder per class, a CSV of paths and labels, or what --data.kind says."""
    target: Annotated[Target, tyro.conf.arg(name="")]
    """Where the shards go."""
    clips_per_shard: int = 256
    """Clips in a tar file."""
    short_side: int | None = None
    """Pixels that the shorter side of larger videos becomes, such as 256. Default: all keep their size."""
    crf: int = 17
    """Quality of what is encoded anew: 0 (lossless) to 51."""
    workers: int = 2
    """Processes that read and encode; 0: this one."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if all clips were written, 1 if some could not be read."""
    options = tyro.cli(with_data(Shard, arguments), prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.data.sharding import Sharding, write_shards

    settings = Sharding(
        clips_per_shard=options.clips_per_shard, short_side=options.short_side, crf=options.crf
    )
    written = write_shards(
        source_from_flags(options.data), options.target.out, settings, workers=options.workers
    )
    console = stdout()
    for clip in written.left_out:
        console.print(f"Left out of {clip['split']}: {clip['error']}", highlight=False, markup=False)
    console.print(f"{options.target.out}: {written.clips} clips in {written.shards} shards.", highlight=False)
    return 1 if written.left_out else 0
