import csv
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from tests.evaluation.made import results_of
from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import read_results, report
from tubelet.evaluation.journal import replace_rows
from tubelet.evaluation.results import Results, VideoResult
from tubelet.evaluation.tables import check_table, write_table
from tubelet.labels import Head, Labels

LABELS = Labels(
    (
        Head("word", ("yes", "no, ä", "?")),
        Head("does", ("walk", "talk"), "multi"),
        Head("speed", ("speed",), "number"),
    )
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    torch.manual_seed(1)
    logits = torch.randn(5, 6) * torch.tensor([1e-3, 1, 1e3, 1e-30, 1, 1])
    logits[3] = math.nan
    said = [
        (0, (0.0, 1.0), (0.1,)),
        (1, (), (2.5,)),
        (2, UNKNOWN, UNKNOWN),
        (0, (1.0,), (1.0,)),
        (UNKNOWN, (), (0.0,)),
    ]
    made = results_of(LABELS, logits, said, groups=["g"] * 5, ids=[f"id {i}" for i in range(5)])
    folder = tmp_path / "out"
    folder.mkdir()
    made.manifest.write(folder)
    replace_rows(folder / "videos.jsonl", made.rows, LABELS)
    return made


def test_read_back_to_the_bit(results: Results, tmp_path: Path):
    found = read_results(tmp_path / "out")
    assert found.manifest == results.manifest
    assert found.rows == results.rows
    assert torch.equal(found.logits(), results.logits())
    one, other = (report(r).to_dict() for r in (found, results))
    assert json.dumps(one) == json.dumps(other)
    line = json.loads((tmp_path / "out/videos.jsonl").read_text().splitlines()[0])
    assert line["heads"]["word"]["label"] == "yes"
    assert line["heads"]["does"]["label"] == ["walk", "talk"]
    assert line["heads"]["speed"] == {
        "label": [0.1],
        "top": [],
        "logits": [line["heads"]["speed"]["logits"][0]],
    }


def test_what_is_damaged_is_named(results: Results, tmp_path: Path):
    folder = tmp_path / "out"
    with pytest.raises(DataError, match=r"no manifest.json"):
        read_results(tmp_path)
    whole = (folder / "videos.jsonl").read_text()
    (folder / "videos.jsonl").write_text(whole.replace('"label": "yes"', '"label": "maybe"', 1))
    with pytest.raises(DataError, match=r"videos.jsonl, line 1, is no row"):
        read_results(folder)
    (folder / "videos.jsonl").write_text("".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="not one row for each of 5 videos"):
        read_results(folder)
    (folder / "manifest.json").write_text('{"format": "other", "version": 1}')
    with pytest.raises(DataError, match="another version"):
        read_results(folder)


def test_csv(results: Results, tmp_path: Path):
    with write_table(results, tmp_path, "csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["video"] for row in rows] == [f"{i}.mp4" for i in range(5)]
    assert rows[1]["word.label"] == "no, ä"
    assert json.loads(rows[0]["does.label"]) == ["walk", "talk"]
    assert tuple(json.loads(rows[0]["word.logits"])) == pytest.approx(list(results.rows[0].logits[:3]))  # type: ignore[index]
    assert (rows[3]["error"], rows[3]["word.logits"], rows[3]["id"], rows[3]["group"]) == (
        "broken",
        "",
        "id 3",
        "g",
    )


def test_parquet(results: Results, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet")
    rows = parquet.read_table(write_table(results, tmp_path, "parquet")).to_pylist()
    for row, one in zip(rows, results.rows, strict=True):
        assert (row["video"], row["views"], row["error"]) == (one.video, one.views, one.error)
        assert row["word.logits"] is None or torch.equal(
            torch.tensor(row["word.logits"]), torch.tensor(one.logits)[:3]
        )
    assert [len(row["word.top"]) for row in rows] == [3, 3, 3, 0, 3]


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("tubelet.evaluation.tables.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'tubelet\[parquet\]'"):
        check_table("parquet")


def test_an_unfinished_last_line_is_left_out_only_where_one_may_be(results: Results, tmp_path: Path):
    from tubelet.evaluation.results import read_rows

    file = tmp_path / "out/videos.jsonl"
    file.write_text(file.read_text() + '{"index": 5')
    assert len(read_rows(file, LABELS, torn=True)) == 5
    with pytest.raises(DataError, match="line 6"):
        read_rows(file, LABELS)


def test_rows_are_records(results: Results):
    assert isinstance(results.rows[0], VideoResult)
    assert [row.index for row in results.answered] == [0, 1, 2, 4]
    assert results.classes().tolist() == [[0, -1, -1], [1, -1, -1], [2, -1, -1], [-1, -1, -1]]
