import json
import math
from pathlib import Path

import pytest
from PIL import Image

from tubelet.training import plot


def test_a_log_becomes_a_picture(tmp_path: Path):
    lines = [{"event": "began", "prior_entropy": 1.386}]
    for stage, count in (("frozen", 3), ("main", 5)):
        lines.append({"event": "stage", "stage": stage})
        for epoch in range(1, count + 1):
            lines.append({"event": "step", "stage": stage, "epoch": epoch - 0.5, "lr": 1e-3 / epoch})
            line = {"event": "epoch", "stage": stage, "epoch": epoch, "train_loss": 1.5 / epoch, "best": True}
            lines.append({**line, "val_loss": 1.4, "val_top1": 0.1 * epoch, "lr": 1e-3})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    losses, top1, rate = plot.panels_of(lines)
    assert [curve.name for curve in losses.curves] == ["training", "validation", "class frequencies alone"]
    assert losses.curves[0].points[3] == (4.0, 1.5), "the main stage goes on where the frozen one ended"
    assert losses.curves[2].points == [(0.0, 1.386), (8.0, 1.386)]
    assert top1.marks == [(3.0, "main stage"), (8.0, "kept")]
    assert len(rate.curves[0].points) == 8
    plot.plot_log(tmp_path / "log.jsonl", tmp_path / "run.png")
    with Image.open(tmp_path / "run.png") as picture:
        assert picture.size == (900, 900)
        colours = {colour for _, colour in picture.getcolors(100_000) or []}
    assert {plot.BLUE, plot.ORANGE, plot.GREEN} <= colours


def test_a_run_of_nothing_is_drawn_too(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text("")
    plot.plot_log(tmp_path / "log.jsonl", tmp_path / "run.png")
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["log.jsonl", "run.png"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 30.0, [0.0, 10.0, 20.0, 30.0]),
        (0.0, 3e-4, [0.0, 1e-4, 2e-4, 3e-4]),
        (0.7, 0.7, [0.6, 0.8]),
    ],
)
def test_ticks_are_round_and_hold_everything(low: float, high: float, expected: list[float]):
    assert plot.ticks(low, high) == pytest.approx(expected)


def test_what_is_no_number_is_left_out():
    panel = plot.Panel(
        title="", curves=[plot.Curve(name="a", colour=plot.BLUE, points=[(1, math.inf), (2, 1)])]
    )
    assert plot.draw_panel(panel).size == (900, 300)
