"""`tubelet threshold RESULTS`: below which probability is the honest answer "unknown"?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from tubelet.evaluation.results import Results
    from tubelet.labels import Labels


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Choose the probability below which a model answers "unknown", on the results of validation data.

    tubelet evaluate --split val makes the results. Give one of --accuracy and --coverage.
    """

    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RESULTS")]
    """The folder of an evaluation, on videos that were not trained on."""
    accuracy: float | None = None
    """Answer as many videos as can be so that this share of the answers is right, such as 0.95."""
    coverage: float | None = None
    """Answer this share of the videos, such as 0.9."""
    head: tuple[str, ...] = ()
    """For these heads. Default: all that have one class for a video."""
    model: Path | None = None
    """Keep the thresholds in this model folder: it then answers "unknown". Default: only tell them."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Threshold, prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.errors import ConfigError
    from tubelet.evaluation.report import share, table_of
    from tubelet.evaluation.results import read_results
    from tubelet.evaluation.threshold import choose_threshold

    results = read_results(options.results)
    names = options.head or tuple(head.name for head in results.labels.heads if head.kind == "single")
    unknown = set(names) - {head.name for head in results.labels.heads}
    if unknown or not names:
        there = ", ".join(f"{head.name} ({head.kind})" for head in results.labels.heads)
        raise ConfigError(f"No head {', '.join(sorted(unknown)) or 'is single'}: there are {there}.")
    table = table_of("head", "threshold", "answered", "right of these")
    labels = results.labels
    for name in names:
        found = choose_threshold(results, name, accuracy=options.accuracy, coverage=options.coverage)
        labels = labels.with_threshold(name, found.threshold)
        table.add_row(name, f"{found.threshold:.4f}", share(found.answered), share(found.top1))
    console = stdout()
    table.title = f"{results.manifest.split}, {len(results.rows)} videos, {results.manifest.views} views"
    console.print(table)
    if options.model is not None:
        keep(options.model, results, labels, names)
        console.print(
            f"Kept in {options.model}: below these it answers 'unknown'.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return 0


def keep(folder: Path, results: "Results", labels: "Labels", names: Sequence[str]) -> None:
    """Write the thresholds of these heads into the folder of the model that was evaluated.

    Raises:
        ConfigError: if it is another model.
        WeightsError: if the folder holds none.
    """
    import torch

    from tubelet.classifier import Classifier
    from tubelet.errors import ConfigError
    from tubelet.evaluation.manifest import model_sha256
    from tubelet.model_folder import write_labels

    classifier = Classifier.load(folder)
    kept = classifier.labels
    if (
        model_sha256(classifier.to(dtype=getattr(torch, results.manifest.dtype)))
        != results.manifest.model_sha256
    ):
        raise ConfigError(
            f"The results are of another model than {folder}: of {results.manifest.model or 'one without a file'}. "
            "Evaluate this one on validation data first."
        )
    for name in names:
        kept = kept.with_threshold(name, labels.head(name).threshold)
    write_labels(folder, kept)
