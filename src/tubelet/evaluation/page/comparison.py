"""Several evaluations of the same videos: what does a better number cost?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.compare import by_cost, count_views, points
from tubelet.evaluation.page.text import giga, short
from tubelet.evaluation.report import Report
from tubelet.evaluation.results import Results

HEIGHT = 200.0
"""Pixels of the axis of accuracy."""
STEP, NAMED_STEP = 66.0, 140.0
"""Pixels between two evaluations: of one model, and of models that are named."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One of the evaluations."""

    report: Report
    shown: bool
    """Whether the rest of the page is about it."""
    values: tuple[tuple[float, Interval | None], ...]
    """For each of `Comparison.metrics`."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An evaluation in a diagram, in pixels from its upper left corner."""

    x: float
    y: float
    ends: tuple[float, float]
    """The upper and the lower end of the interval."""
    words: tuple[str, ...]
    """What stands below it, line by line."""


@dataclass(frozen=True, kw_only=True)
class CostDiagram:
    """A metric of every evaluation, the cheapest left."""

    metric: str
    width: float
    """Pixels between the axis of accuracy and the right side."""
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, float], ...]
    """Of the axis of accuracy: where, and which share."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several evaluations of the same videos."""

    metrics: tuple[str, ...]
    """What is compared."""
    rows: tuple[Row, ...]
    """The cheapest first."""
    diagrams: tuple[CostDiagram, ...]
    """For each of the metrics."""
    one_model: bool
    """Whether only the views differ: the marks are joined by a line then."""


def compare(reports: Sequence[Report]) -> Comparison:
    """The comparison of several reports, the first of which the rest of the page is about."""
    metrics = tuple(
        f"{'Top-1' if metric == 'top1' else 'mAP'}, {head}" for head, metric, *_ in points(reports[0])
    )
    rows = tuple(
        Row(
            report=one,
            shown=one is reports[0],
            values=tuple((value, interval) for *_, value, interval in points(one)),
        )
        for one in by_cost(reports)
    )
    one_model = len({one.results.manifest.model_sha256 for one in reports}) == 1
    return Comparison(
        metrics=metrics,
        rows=rows,
        diagrams=tuple(diagram(metric, i, rows, one_model) for i, metric in enumerate(metrics)),
        one_model=one_model,
    )


def diagram(metric: str, number: int, rows: Sequence[Row], one_model: bool) -> CostDiagram:
    """The diagram of a metric, by its number."""
    found = [row.values[number] for row in rows]
    spans = [(value, value) if i is None else (i.low, i.high) for value, i in found]
    low = max(min(start for start, _ in spans) - 0.02, 0.0)
    high = min(max(end for _, end in spans) + 0.02, 1.0)

    step = STEP if one_model else NAMED_STEP

    def height(share: float) -> float:
        return HEIGHT * (high - share) / (high - low)

    return CostDiagram(
        metric=metric,
        width=step * len(rows),
        marks=tuple(
            Mark(
                x=step * (place + 0.5),
                y=height(value),
                ends=(height(span[1]), height(span[0])),
                words=words(row.report, one_model),
            )
            for place, (row, (value, _), span) in enumerate(zip(rows, found, spans, strict=True))
        ),
        ticks=tuple((height(share), share) for share in (low + (high - low) * i / 4 for i in range(5))),
    )


def words(report: Report, one_model: bool) -> tuple[str, ...]:
    """What stands below a mark."""
    many = count_views(report.views)
    first = report.views if one_model else f"{short(name_of(report.results))}, {report.views}"
    return (
        first,
        f"{many} view{'s' * (many > 1)}",
        f"{giga(report.macs_per_video)} GMACs",
        f"{report.seconds_per_video:.3g} s",
    )


def name_of(results: Results) -> str:
    """What the page calls the model: the folder that holds it, or its file."""
    file = Path(results.manifest.model)
    return file.parent.name or file.name or "a model"
