import json
from pathlib import Path

import pytest
import torch

from tests.clips import moving_square, write_clip
from tests.data.files import write
from tests.data.test_epic import EPIC_100
from tests.evaluation.made import results_of
from tests.evaluation.motion import classifier_of
from tubelet.cli import evaluate
from tubelet.data.epic import EpicKitchens
from tubelet.data.source import UNKNOWN
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import read_results
from tubelet.evaluation.submission import write_submission
from tubelet.labels import Head, Labels

LABELS = Labels(
    (Head("noun", tuple(f"n{i}" for i in range(30))), Head("verb", tuple(f"v{i}" for i in range(7))))
)


def test_the_unlabelled_test_split_from_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for head in LABELS.heads:
        rows = "".join(f"{i},{name},,\n" for i, name in enumerate(head.classes))
        write(Path(f"csv/EPIC_100_{head.name}_classes.csv"), f"id,key,instances,category\n{rows}")
    columns = EPIC_100.split(",narration,")[0] + "\n"
    segments = "".join(f"P01_12_{i},P01,P01_12,0:0:0,00:00:00.{i}0,00:00:00.{i + 2}0,1,9\n" for i in (0, 1))
    write(Path("csv/EPIC_100_test_timestamps.csv"), columns + segments)
    write_clip(Path("data/P01/videos/P01_12.MP4"), moving_square(1, 0, frames=12))
    classifier_of(EpicKitchens(root=Path("data"), annotations=Path("csv")).labels).save("model")
    arguments = ["model", "data", "--data.kind", "epic", "--data.annotations", "csv", "--views", "1x1"]
    with pytest.raises(ConfigError, match="belong together"):
        evaluate.main("tubelet evaluate", [*arguments, "--submission", "out/test.json"])
    arguments += ["--submission", "out/test.json", "--supervision", "1", "3", "3"]
    assert evaluate.main("tubelet evaluate", arguments) == 0
    assert "Submission: out/test.json" in capsys.readouterr().out
    handed_in = json.loads(Path("out/test.json").read_text())
    assert {name: value for name, value in handed_in.items() if name != "results"} == {
        "version": "0.2", "challenge": "action_recognition", "sls_pt": 1, "sls_tl": 3, "sls_td": 3,
    }  # fmt: skip
    assert list(handed_in["results"]) == ["P01_12_0", "P01_12_1"]
    results = read_results("results/model-test-1x1")
    for logits, scores in zip(results.logits(), handed_in["results"].values(), strict=True):
        noun, verb = (part.softmax(0) for part in logits.split([30, 7]))
        assert scores["verb"] == pytest.approx({str(i): float(p) for i, p in enumerate(verb)})
        assert scores["noun"] == pytest.approx({str(i): float(p) for i, p in enumerate(noun)})
        assert len(scores["action"]) == 100
        best = max(scores["action"], key=scores["action"].get)
        assert best == f"{verb.argmax()},{noun.argmax()}"
        assert scores["action"][best] == pytest.approx(float(verb.max() * noun.max()))
    with pytest.raises(FileExistsError, match="not overwritten"):
        evaluate.main("tubelet evaluate", arguments)


def test_what_the_server_would_refuse(tmp_path: Path):
    logits = torch.zeros(2, 37)
    whole = results_of(LABELS, logits, [(UNKNOWN, UNKNOWN)] * 2, ids=["a", "b"])
    with pytest.raises(ConfigError, match="three levels from 0 to 5"):
        write_submission(whole, tmp_path / "x.json", (1, 3, 6))
    with pytest.raises(DataError, match="narration ids of EpicKitchens; here are noun, verb"):
        write_submission(results_of(LABELS, logits, [(0, 0)] * 2), tmp_path / "x.json", (1, 3, 3))
    logits[1] = torch.nan
    torn = results_of(LABELS, logits, [(0, 0)] * 2, ids=["a", "b"])
    with pytest.raises(
        DataError, match=r"must have every segment, and 1 could not be read, such as 1.mp4: broken"
    ):
        write_submission(torn, tmp_path / "x.json", (1, 3, 3))
    assert not list(tmp_path.iterdir())
