"""`tubelet explain`: where a model looked in a video, and which moments decided."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Where a model looked in a video, and which moments decided: a film, a sheet, arrays."""

    video: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="VIDEO")]
    """A video file or a folder of images."""
    out: Path
    """A new folder for overlay.mp4, sheet.png, explanation.json and arrays.npz."""
    model: str = "camera-motion"
    """A model folder or weights file; camera-motion is the model that comes with Tubelet."""
    label: str | None = None
    """The class to explain. Default: the most probable one."""
    head: str | None = None
    """Of which head. Default: the first."""
    method: Literal["gradient", "rollout"] = "gradient"
    """gradient: what the class depends on; rollout: what the model looks at, whatever the class."""
    start_seconds: float | None = None
    """Look at the video from here. The clip in the middle of what is left is explained."""
    end_seconds: float | None = None
    """Look at the video up to here."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Explain, prog=prog, args=arguments)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise FileExistsError(f"{options.out} exists and is not overwritten: name a new folder.")
    from rich.table import Table

    from tubelet.cli.console import stdout
    from tubelet.explanation.explain import explain
    from tubelet.explanation.pictures import draw_sheet, write_film
    from tubelet.loading import load
    from tubelet.video.decode import Video

    classifier = load(options.model).to(options.device)
    head = 0 if options.head is None else options.head
    with Video(options.video, start_seconds=options.start_seconds, end_seconds=options.end_seconds) as video:
        found = explain(classifier, video, options.label, head=head, method=options.method)
    begin = options.start_seconds or 0.0
    options.out.mkdir(parents=True, exist_ok=True)
    write_film(found, options.out / "overlay.mp4")
    draw_sheet(found, options.out / "sheet.png")
    found.save_arrays(options.out / "arrays.npz")
    text = json.dumps({"model": options.model, "begins_at_seconds": begin, **found.to_dict()}, indent=1)
    (options.out / "explanation.json").write_text(text + "\n", encoding="utf-8")
    table = Table(title=f"{found.head}: {found.label} {found.probability:.1%}")
    for column in ("seconds", "log-odds without it", "share of the map"):
        table.add_column(column, justify="right")
    shares = found.map.sum(dim=(1, 2)).tolist()
    for (start, end), moment, share in zip(
        found.tubelet_seconds(), found.moments.tolist(), shares, strict=True
    ):
        table.add_row(f"{begin + start:.2f}-{begin + end:.2f}", f"{-moment:+.2f}", f"{share:.0%}")
    console = stdout()
    console.print(table)
    names = ", ".join(sorted(file.name for file in options.out.iterdir()))
    console.print(f"{options.out}: {names}", highlight=False, soft_wrap=True)
    return 0
