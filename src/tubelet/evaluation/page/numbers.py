"""The numbers of a report as tables, and the first of each head in large type."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.joint import JointMetrics
from tubelet.evaluation.metrics import HeadMetrics
from tubelet.evaluation.multi_label import MultiMetrics
from tubelet.evaluation.page.text import DASH, found, share
from tubelet.evaluation.regression import NumberMetrics
from tubelet.evaluation.report import Report


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The number of a head that says most."""

    head: str
    value: str
    note: str
    """What to hold against it."""


@dataclass(frozen=True, kw_only=True)
class NumberTable:
    """The numbers of all heads of a kind."""

    title: str
    columns: tuple[str, ...]
    """After the name: number of videos, and the metrics that any of the heads has."""
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Name of a head, and its numbers; of a head without labels only the number of videos."""


def headlines(report: Report) -> list[Headline]:
    """One for each head that has labels, and one of all `single` heads together."""
    cards: list[Headline] = []
    for head in report.heads:
        if not head.videos:
            continue
        if isinstance(head, HeadMetrics):
            often = f"always the most frequent class: {share(head.frequent)}"
            note = "; ".join(filter(None, (likely(head.intervals.get("top1"), share), often)))
            cards.append(Headline(head=head.name, value=f"{share(head.top1)} right", note=note))
        elif isinstance(head, MultiMetrics):
            interval = likely(head.intervals.get("mean_average_precision"), share)
            note = ", ".join(filter(None, ("mean average precision", interval)))
            cards.append(
                Headline(head=head.name, value=f"{share(head.mean_average_precision)} mAP", note=note)
            )
        else:
            note = ", ".join(filter(None, ("mean absolute error", likely(head.intervals.get("mae"), plain))))
            cards.append(Headline(head=head.name, value=f"{plain(head.mae)} off", note=note))
    if report.joint is not None:
        note = likely(report.joint.intervals.get("top1"), share)
        cards.append(
            Headline(head=together(report.joint), value=f"{share(report.joint.top1)} right", note=note)
        )
    return cards


def number_tables(report: Report) -> list[NumberTable]:
    """A table for each kind of head that there is."""
    single = [head for head in report.heads if isinstance(head, HeadMetrics)]
    multi = [head for head in report.heads if isinstance(head, MultiMetrics)]
    number = [head for head in report.heads if isinstance(head, NumberMetrics)]
    tables: list[NumberTable] = []
    if single:
        tables.append(singles(single, report.joint))
    if multi:
        key = "mean_average_precision"
        rows = [
            (head.name, head.videos, (found(head.mean_average_precision, head.intervals.get(key)),))
            for head in multi
        ]
        tables.append(table_of("Heads of several classes for a video", ("Mean average precision",), rows))
    if number:
        rows = [
            (
                f"{head.name}: {output}" if len(head.outputs) > 1 else head.name,
                head.videos,
                (plain(one.mae), plain(one.rmse), DASH if one.r2 is None else f"{one.r2:.3f}"),
            )
            for head in number
            for output, one in head.outputs.items()
        ]
        columns = ("Mean absolute error", "Root of mean squared error", "R2")
        tables.append(table_of("Heads of numbers", columns, rows))
    return tables


def singles(heads: Sequence[HeadMetrics], joint: JointMetrics | None) -> NumberTable:
    """The table of the heads of one class for a video, and of all of them together."""
    rows: list[tuple[str, int, tuple[str, ...]]] = []
    for head in heads:
        accuracies = (
            found(getattr(head, key), head.intervals.get(key)) for key in ("top1", "top5", "balanced")
        )
        auc = DASH if head.auc is None else f"{head.auc:.3f}"
        ece = DASH if head.calibration is None else f"{head.calibration.ece:.3f}"
        rest = (auc, share(head.frequent), f"{head.cross_entropy:.3f}", ece)
        rows.append((head.name, head.videos, (*accuracies, *rest)))
    if joint is not None:
        accuracies = (found(getattr(joint, key), joint.intervals.get(key)) for key in ("top1", "top5"))
        rows.append((together(joint), joint.videos, (*accuracies, *5 * (DASH,))))
    columns = ("Top-1", "Top-5", "Balanced", "AUC", "Most frequent class", "Cross-entropy, nats", "ECE")
    return table_of("Heads of one class for a video", columns, rows)


def table_of(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, int, tuple[str, ...]]]
) -> NumberTable:
    """A table without the columns in which no head has a number; rows are name, number of videos, numbers."""
    kept = [i for i in range(len(columns)) if any(videos and cells[i] != DASH for _, videos, cells in rows)]
    return NumberTable(
        title=title,
        columns=("Videos", *(columns[i] for i in kept)),
        rows=tuple(
            (name, (str(videos), *(cells[i] for i in kept if videos))) for name, videos, cells in rows
        ),
    )


def together(joint: JointMetrics) -> str:
    """What the page calls several heads at once."""
    return f"{' + '.join(joint.heads)}, together"


def likely(interval: Interval | None, text: Callable[[float], str]) -> str:
    """An interval in words; empty where there is none."""
    return "" if interval is None else f"95 % interval {text(interval.low)} to {text(interval.high)}"


def plain(value: float) -> str:
    """A number that is no share."""
    return f"{value:.4g}"
