"""`write_page`: the results of one evaluation, or of several on the same videos, as an HTML page."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.metrics import HeadMetrics
from tubelet.evaluation.multi_label import MultiMetrics
from tubelet.evaluation.page.charts import (
    Class,
    Confusion,
    Reliability,
    Scatter,
    confusion_of,
    multi_classes,
    reliability_of,
    scatter_of,
    single_classes,
)
from tubelet.evaluation.page.comparison import compare, name_of
from tubelet.evaluation.page.examples import Gallery, galleries
from tubelet.evaluation.page.numbers import headlines, number_tables
from tubelet.evaluation.page.pictures import MOST_BYTES, Pictures
from tubelet.evaluation.page.text import found, giga, name, px, share, short
from tubelet.evaluation.regression import NumberMetrics
from tubelet.evaluation.report import Report
from tubelet.evaluation.results import Results
from tubelet.pages import HOUSE, page_template

MARK = '<meta name="generator" content="tubelet report">'
"""By this a page is known that may be written anew."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What the page says of a head."""

    metrics: HeadMetrics | MultiMetrics | NumberMetrics
    classes: Sequence[Class] = ()
    confusion: Confusion | None = None
    reliability: Reliability | None = None
    scatters: Sequence[Scatter] = ()
    galleries: Sequence[Gallery] = ()


def write_page(
    reports: Report | Sequence[Report],
    file: str | Path,
    *,
    clips: bool = False,
    examples: int = 12,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """Write what an evaluation found as one HTML page that needs no network and no other file.

    It has the numbers with their intervals; for each head the confusions, the classes, a reliability diagram, and the
    mistakes to look at, with frames of them; the videos that could not be read; and what made it all. The videos are
    looked for where they were when they were evaluated; of those that are gone the page says so.

    Args:
        reports: of one evaluation; or of several of the same videos, which are then compared: all else is about the
            first one.
        file: the page. A page that this function wrote before is replaced.
        clips: put playable films of the examples into the page (H.264, the first ten seconds, without sound).
        examples: most videos to show of a kind, such as the surest mistakes of a head.
        most_bytes: of all frames and films together; those that do not fit are left out, and the page says so.

    Returns:
        The page.

    Raises:
        FileExistsError: if the file is there and is no such page.
        DataError: for several evaluations that are not of the same videos.
        ConfigError: for fewer than no examples, or clips where PyAV cannot make them.
    """
    reports = [reports] if isinstance(reports, Report) else list(reports)
    file = Path(file)
    check(reports, file, examples)
    first = reports[0]
    pictures = Pictures(clips, most_bytes)
    script, style = part("page.js"), HOUSE.read_text(encoding="utf-8") + part("page.css")
    text = page_template("evaluation/page/page.html.jinja", found, giga, name, px, share, short).render(
        mark=Markup(MARK),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        style=Markup(style),
        report=first,
        model=name_of(first.results),
        headlines=headlines(first),
        tables=number_tables(first),
        sections=[section(first, number, examples) for number in range(len(first.heads))],
        comparison=compare(reports) if len(reports) > 1 else None,
        picture=pictures.of,
        facts=facts_of(first.results),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f"{file.name}.part")
    scratch.write_text(text, encoding="utf-8", errors="replace")
    scratch.replace(file)
    return file


def check(reports: Sequence[Report], file: Path, examples: int) -> None:
    """Refuse what cannot be, before there is work."""
    if examples < 0:
        raise ConfigError(f"examples={examples}: show none (0) or more.")
    if file.exists() and not is_page(file):
        raise FileExistsError(
            f"{file} exists, is no page of `tubelet report`, and is not overwritten: name another."
        )
    manifests = [one.results.manifest for one in reports]
    for other in manifests[1:]:
        if other.data_sha256 != manifests[0].data_sha256 or other.labels != manifests[0].labels:
            raise DataError(
                "Only evaluations of the same videos and heads are compared: "
                f"one is of {manifests[0].videos} videos of {manifests[0].data}, "
                f"another of {other.videos} of {other.data}."
            )


def is_page(file: Path) -> bool:
    """Whether this module wrote a file."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return MARK.encode() in opened.read(1024)


def section(report: Report, number: int, examples: int) -> Section:
    """What there is to say of a head; little where no video has a label for it."""
    metrics, results = report.heads[number], report.results
    if not metrics.videos:
        return Section(metrics=metrics)
    shown = galleries(results, number, examples) if examples else []
    if isinstance(metrics, MultiMetrics):
        return Section(metrics=metrics, classes=multi_classes(metrics), galleries=shown)
    if isinstance(metrics, NumberMetrics):
        return Section(metrics=metrics, scatters=scatters(results, number), galleries=shown)
    return Section(
        metrics=metrics,
        classes=single_classes(metrics),
        confusion=confusion_of(metrics),
        reliability=None if metrics.calibration is None else reliability_of(metrics.calibration),
        galleries=shown,
    )


def scatters(results: Results, number: int) -> list[Scatter]:
    """Truth against answer of every output of a `number` head."""
    head = results.labels.heads[number]
    said, right = (results.labels.split(t)[head.name] for t in (results.logits(), results.targets()))
    known = ~right.isnan().any(dim=1)
    columns = zip(head.classes, right[known].unbind(1), said[known].unbind(1), strict=True)
    return [scatter_of(*column) for column in columns]


def facts_of(results: Results) -> list[tuple[str, str]]:
    """What made the results, and the page."""
    manifest = results.manifest
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        ("Command", manifest.command),
        ("When", manifest.created),
        ("Model", manifest.model or "not from a file"),
        ("Model, SHA-256", manifest.model_sha256),
        ("Data", manifest.data),
        ("Data, SHA-256", manifest.data_sha256),
        ("Split", f"{manifest.split}, {manifest.videos} videos"),
        ("Views", f"{manifest.views}, {manifest.average} averaged"),
        ("Computed", f"on {manifest.device} in {manifest.dtype} by {manifest.processes} process(es)"),
        *([("Tokens left out", str(manifest.fewer_tokens))] if manifest.fewer_tokens else []),
        ("Versions", ", ".join(f"{name} {number}" for name, number in manifest.versions.items())),
        ("Results", "in memory" if results.folder is None else str(results.folder.absolute())),
        ("This page", f"tubelet {version('tubelet')}, {now}"),
    ]


def part(name: str) -> str:
    """A file beside this one."""
    return (files("tubelet.evaluation.page") / name).read_text(encoding="utf-8")
