"""The numbers of a page, and the comparison of several evaluations on it."""

from dataclasses import replace

import pytest
import torch

from tests.evaluation.made import guesses, results_of
from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.page.comparison import HEIGHT, compare
from tubelet.evaluation.page.numbers import headlines, number_tables
from tubelet.evaluation.page.text import DASH, found, name, share, short
from tubelet.evaluation.report import Report, report
from tubelet.labels import UNKNOWN, Head, Labels


def two_heads(right: float = 0.7, views: str = "1x1", model: str = "1") -> Report:
    """Twenty videos, a head of two classes and one of six; nobody labelled the third."""
    first, a = guesses(20, 2, right, seed=1)
    second, b = guesses(20, 6, right, seed=2)
    labels = Labels((Head("pan", ("left", "right")), Head("zoom", tuple("abcdef")), Head("none", ("x", "y"))))
    said = [(int(x), int(y), UNKNOWN) for x, y in zip(a, b, strict=True)]
    results = results_of(labels, torch.cat([first, second, torch.zeros(20, 2)], dim=1), said)
    clips, crops = map(int, views.split("x"))
    rows = tuple(replace(row, views=clips * crops) for row in results.rows)
    return report(
        replace(results, rows=rows, manifest=replace(results.manifest, views=views, model_sha256=model))
    )


def test_tables_have_what_the_heads_have() -> None:
    made = two_heads()
    (table,) = number_tables(made)
    cells = {row: dict(zip(table.columns, values, strict=False)) for row, values in table.rows}
    pan, zoom = made.heads[:2]
    assert cells["pan"]["AUC"] == f"{pan.auc:.3f}"  # type: ignore[union-attr]
    assert cells["zoom"]["AUC"] == DASH
    assert cells["pan"]["Top-5"] == DASH
    assert cells["zoom"]["Top-5"] == found(zoom.top5, zoom.intervals["top5"])  # type: ignore[union-attr]
    assert cells["none"] == {"Videos": "0"}
    assert [row for row, _ in table.rows] == ["pan", "zoom", "none"]  # no video has a label for all three
    (table,) = number_tables(replace(made, heads=made.heads[1:2]))
    assert "AUC" not in table.columns


def test_headlines_are_of_heads_with_labels() -> None:
    made = two_heads()
    assert [one.head for one in headlines(made)] == ["pan", "zoom"]
    logits = torch.cat([guesses(12, 2, 0.5)[0], guesses(12, 2, 0.5)[0]], dim=1)
    pair = results_of(Labels((Head("verb", ("a", "b")), Head("noun", ("c", "d")))), logits, [(0, 1)] * 12)
    assert [one.head for one in headlines(report(pair))] == ["verb", "noun", "verb + noun, together"]


def test_the_better_is_higher_and_the_dearer_further_right() -> None:
    made = two_heads(0.9, "4x3"), two_heads(0.2, "1x1")
    both = compare(made)
    assert [row.report.views for row in both.rows] == ["1x1", "4x3"]
    assert [row.shown for row in both.rows] == [False, True]
    assert both.metrics == ("Top-1, pan", "Top-1, zoom")
    for diagram in both.diagrams:
        poor, good = diagram.marks
        assert poor.x < good.x < diagram.width
        assert 0 <= good.ends[0] <= good.y < poor.y <= poor.ends[1] <= HEIGHT
        assert diagram.ticks[0][0] == pytest.approx(HEIGHT)
        assert poor.words[:2] == ("1x1", "1 view")
    assert both.one_model
    others = compare([two_heads(), two_heads(0.5, model="2")])
    assert not others.one_model
    assert others.diagrams[0].marks[0].words[0] == "model.safetensors, 1x1"


def test_names_and_numbers_in_html() -> None:
    assert name("<b>") == "<bdi>&lt;b&gt;</bdi>"
    assert found(0.5, Interval(low=0.4, high=0.6)).endswith("[40.0, 60.0]</span>")
    assert found(None, None) == share(float("nan")) == DASH
    assert short("x" * 18) == "x" * 18
    assert short("x" * 19) == "x" * 17 + "…"
