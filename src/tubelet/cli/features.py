"""`tubelet features DATA OUT`: what a model makes of many videos, kept in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tubelet.cli.data import source_from_flags, with_data

if TYPE_CHECKING:
    from tubelet.data.source import Source
    from tubelet.features.file import Features


@dataclass(frozen=True, kw_only=True)
class Target:
    """The second argument. In a class of its own, as `DATA` is, it comes after that."""

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.parquet")]
    """The file. It is there when it is whole."""


@dataclass(frozen=True, kw_only=True)
class ExtractFeatures:
    """What a model makes of many videos: a Parquet file with a row and a vector for each.

    tubelet probe and tubelet search read it, and so does whatever reads Parquet. An extraction that was killed goes
    on by the same command. Under torchrun several processes share the videos.
    """

    data: Any
    """A folder per class, a folder of videos, a CSV of paths and labels, shards, or what --data.kind says."""
    out: Target
    model: str = "camera-motion"
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    unlabelled: bool = False
    """DATA is a folder of videos, searched through, and what its folders are called means nothing. A folder with
    videos right in it is taken for one without being told."""
    split: tuple[str, ...] = ()
    """Only these splits of the data. Default: all."""
    layer: str = "head"
    """head: the vector that the head sees; encoder, or spatial and temporal of Model 2: the tokens that come out of
    an encoder; encoder.3: those behind its third block."""
    pool: Literal["mean", "class", "moments", "none"] | None = None
    """What becomes of a layer's tokens: their mean (default), the class token, one vector for each tubelet in time,
    or none: every token is kept."""
    views: str | None = None
    """Temporal x spatial views, such as 4x3. Default: the model's own."""
    storage: Literal["float32", "float16"] = "float32"
    """float16 halves the file."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"
    """In what precision to compute; auto: bfloat16 where the device has hardware for it, else float32; int8: the
    blocks, on a CPU."""
    chunk: int = 8
    """Views at a time through the model: less needs less memory."""
    workers: int = 1
    """Processes that decode, ahead of the model; 0: this one, in turn with it."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 if all videos could be read, 1 if some could not.

    Always 0 under torchrun, which stops all processes and speaks of a failure when one ends with another code.
    """
    options = tyro.cli(with_data(ExtractFeatures, arguments), prog=prog, args=arguments)
    from rich.console import Console

    from tubelet.cli.console import chosen_dtype
    from tubelet.distributed import processes
    from tubelet.features.columns import check_parquet
    from tubelet.features.extract import extract_features
    from tubelet.loading import load

    check_parquet()
    with processes(options.device) as who:
        errors = Console(stderr=True, quiet=not who.first)
        videos = unlabelled(options, errors)
        data: Source | Sequence[str | Path] = source_from_flags(options.data) if videos is None else videos
        dtype = chosen_dtype(options.dtype, who.device, errors)
        found = extract_features(
            load(options.model).to(who.device, dtype),
            data,
            options.out.file,
            layer=options.layer,
            pool=options.pool,
            splits=options.split or None,
            views=options.views,
            storage=options.storage,
            chunk=options.chunk,
            workers=options.workers,
        )
        if who.first:
            show(found, errors)
    return 1 if found.unreadable and who.count == 1 else 0


def unlabelled(options: Any, errors: Any) -> list[Path] | None:
    """The videos below a folder of mere videos; None where the data say more than that.

    Raises:
        ConfigError: if that is not what the other flags speak of.
        DataError: if there is no video.
    """
    from tubelet.data.disk import SUFFIXES, clips_below
    from tubelet.errors import ConfigError, DataError

    if options.data.kind != "folders":
        if options.unlabelled:
            raise ConfigError(
                f"--unlabelled is for a folder of videos, and the data are {options.data.kind}."
            )
        return None
    root = Path(options.data.root)
    right_in_it = root.is_dir() and any(file.suffix.lower() in SUFFIXES for file in root.iterdir())
    if not (options.unlabelled or right_in_it):
        return None
    if options.split:
        raise ConfigError(
            f"--split {' '.join(options.split)}: a folder of videos without labels has no splits."
        )
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.")
    videos = list(clips_below(root, images=options.data.image_rate is not None))
    if not videos:
        raise DataError(f"There is no video in {root}.")
    errors.print(f"{len(videos)} videos without labels in {root}.", highlight=False, soft_wrap=True)
    return videos


def show(found: "Features", errors: Any) -> None:
    """Say what is in the file, and which videos are not."""
    from tubelet.cli.console import stdout

    made = found.description
    count = int(found.answered.sum())
    size = found.file.stat().st_size / 2**20
    pool = "" if made.pool is None else f", {made.pool}"
    stdout().print(
        f"{found.file}: {count} of {made.videos} videos, layer {made.layer}{pool}, shape {made.shape}, "
        f"{made.storage}, {size:.1f} MiB",
        highlight=False,
        soft_wrap=True,
    )
    for _, error in found.unreadable[:20]:
        errors.print(f"[red]failed[/] {error}", highlight=False, soft_wrap=True)
    if len(found.unreadable) > 20:
        errors.print(f"... and {len(found.unreadable) - 20} more: the column error names all.")
