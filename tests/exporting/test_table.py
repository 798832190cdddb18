"""The table of formats, once, at a size that means nothing."""

from pathlib import Path
from typing import Any

import pytest

from tubelet import Classifier
from tubelet.benchmarks import exported
from tubelet.benchmarks.settings import Settings
from tubelet.benchmarks.tables import TABLES
from tubelet.errors import ConfigError, WeightsError
from tubelet.exporting.export import Exported

TINY = Settings(model="s-16x2", frames=4, size=32, blocks=1, seconds=0.01)


def test_formats_have_rows_and_what_cannot_be_written_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    export = exported.export

    def sometimes(classifier: Classifier, out: Path, **how: Any) -> Exported:
        if classifier.view.frames == 32:
            raise WeightsError("too far away")
        return export(classifier, out, **how)

    monkeypatch.setattr(exported, "export", sometimes)
    monkeypatch.setattr(exported, "cases", lambda: [("pt2", "float32")])
    record = TABLES["export"](TINY)
    assert [row[:2] for row in record.rows] == [
        ("camera-motion", exported.PYTORCH), ("s-16x2", exported.PYTORCH), ("", "pt2, float32"),
    ]  # fmt: skip
    assert record.notes == ["camera-motion, pt2, float32: too far away"]
    difference, top1, clips = record.measured["s-16x2"]["agreement"]["pt2, float32"]
    assert difference <= 1e-4
    assert (top1, clips) == (1.0, 3)
    assert "random clips" in record.about


def test_there_is_no_table_of_a_gpu() -> None:
    with pytest.raises(ConfigError, match="on the CPU"):
        TABLES["export"](Settings(device="cuda"))
