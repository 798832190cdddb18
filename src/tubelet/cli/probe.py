"""`tubelet probe FEATURES`: what simple classifiers read off features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from tubelet.features.probe import ProbeReport, ProbeResult


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What simple classifiers read off the features of a model, which itself learns nothing.

    Of one file they learn from the split train, choose their settings on val (or on a fifth of train) and are
    measured on test. Of two files they learn from --train and are measured on --test.
    """

    features: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[FEATURES]")] = None
    """A file that tubelet features made."""
    train: Path | None = None
    """In its place: a file to learn from, all of it (what is of the split val chooses the settings) ..."""
    test: Path | None = None
    """... and a file to measure, all of it, of the same model, layer and views."""
    method: tuple[Literal["knn", "linear", "attentive"], ...] = ()
    """knn: nearest neighbours; linear: logistic regression; attentive: a query that looks at the tokens, of a file
    made with --pool none. Default: all that the file allows."""
    head: tuple[str, ...] = ()
    """Which heads. Default: all but those of numbers."""
    split: str = "test"
    """Of one file: which split is measured."""
    k: int = 20
    """Neighbours that vote."""
    temperature: float = 0.07
    """Of their votes, exp(cosine / temperature)."""
    epochs: int = 30
    """Of the attentive probe."""
    seed: int = 0
    """Of the division and of the attentive probe: the same seed gives the same numbers."""
    json: Path | None = None
    """Write the results to this new file."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Probe, prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.errors import ConfigError
    from tubelet.features.file import read_features
    from tubelet.features.probe import probe

    if (options.features is None) == (options.train is None) or (options.train is None) != (
        options.test is None
    ):
        raise ConfigError(
            "Give one file, tubelet probe FEATURES, or two, tubelet probe --train FEATURES --test FEATURES."
        )
    if options.json is not None and options.json.exists():
        raise FileExistsError(f"{options.json} exists and is not overwritten: name another file.")
    learned = options.features or options.train
    assert learned is not None, "one of them was given"
    report = probe(
        read_features(learned),
        None if options.test is None else read_features(options.test),
        methods=options.method or None,
        heads=options.head or None,
        split=options.split,
        k=options.k,
        temperature=options.temperature,
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
    )
    console = stdout()
    console.print(table_of(report))
    if options.json is not None:
        report.write(options.json)
        console.print(f"Results: {options.json}", highlight=False, markup=False, soft_wrap=True)
    return 0


def table_of(report: "ProbeReport") -> "Table":
    """A row for each head and method."""
    from rich.table import Table

    made = report.train.description
    layer = made.layer if made.pool is None else f"{made.layer}, {made.pool}"
    table = Table(title=f"{report.test.file.name}: {layer}", title_justify="left")
    for column in ("head", "probe", "learned", "measured", "top-1", "mean of classes", "mAP", "settings"):
        table.add_column(column, justify="left" if column in ("head", "probe", "settings") else "right")
    for found in report.results:
        numbers = (share(found, name) for name in ("top1", "balanced", "mean_average_precision"))
        table.add_row(
            found.head, found.method, str(found.trained), str(found.videos), *numbers, settings(found)
        )
    return table


def settings(found: "ProbeResult") -> str:
    """What was chosen, or given."""
    said = found.settings
    if found.method == "knn":
        return f"k {said['k']}, temperature {said['temperature']:g}"
    if found.method == "linear":
        return f"penalty {said['penalty']:g}"
    return f"epoch {said['epoch']} of {said['epochs']}"


def share(found: "ProbeResult", name: str) -> str:
    """A number of a result with its interval, in per cent."""
    value = getattr(found, name)
    if value is None:
        return ""
    interval = found.intervals.get(name)
    between = "" if interval is None else f" [{interval.low * 100:.1f}, {interval.high * 100:.1f}]"
    return f"{value * 100:.1f}{between}"
