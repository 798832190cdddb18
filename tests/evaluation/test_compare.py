import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.clips import write_motion
from tests.evaluation.motion import classifier_of
from tubelet.cli import evaluate
from tubelet.errors import ConfigError
from tubelet.models.cost import count_cost


def test_accuracy_against_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    write_motion(Path("clips"), 6, ("test",))
    classifier = classifier_of(("left", "right"))
    classifier.save("model")
    arguments = ["model", "clips", "--views", "2x3", "1x1", "1x3", "1x1", "--table", "csv"]
    with pytest.raises(ConfigError, match="say clips x crops"):
        evaluate.main("tubelet evaluate", [*arguments[:2], "--views", "1x1", "2x2"])
    assert not Path("results").exists(), "refused before the work"
    assert evaluate.main("tubelet evaluate", arguments) == 0
    shown = capsys.readouterr().out
    assert "accuracy against cost" in shown
    assert "Comparison: results/model-test-2x3/views.csv and results/model-test-2x3/views.png" in shown
    with Path("results/model-test-2x3/views.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["views"], row["views_per_video"]) for row in rows] == [
        ("1x1", "1"),
        ("1x3", "3"),
        ("2x3", "6"),
    ]
    macs = count_cost(classifier.model.config).computed_macs
    for row in rows:
        metrics = json.loads(Path(f"results/model-test-{row['views']}/metrics.json").read_text())
        assert float(row["value"]) == metrics["heads"][0]["top1"]
        assert float(row["low"]) == metrics["heads"][0]["intervals"]["top1"]["low"]
        assert int(row["macs_per_video"]) == int(row["views_per_video"]) * macs
        assert float(row["seconds_per_video"]) > 0
    with Image.open("results/model-test-2x3/views.png") as picture:
        assert picture.size == (900, 480)
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 20
    assert Path("results/model-test-1x3/videos.csv").is_file()
    assert evaluate.main("tubelet evaluate", [*arguments[:2], "--views", "1x1", "1x3", "--out", "mine"]) == 0
    assert sorted(path.name for path in Path("mine").iterdir()) == ["1x1", "1x3"]
