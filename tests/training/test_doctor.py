import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.clips import moving_square, write_clip, write_motion
from tests.training.runs import FACTORISED, run_of
from tubelet.cli import doctor as shell
from tubelet.data.table import Table
from tubelet.errors import ConfigError
from tubelet.models.vivit import ViViT
from tubelet.training import Frozen, Optimizer, Pretrained, doctor, train
from tubelet.training.record import read_run
from tubelet.video import resizing
from tubelet.weights.start import Start


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("few"), 6)


def states(checks: list[doctor.Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def test_before_a_run(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", optimizer=Optimizer(lr=1e-3))
    checks = doctor.examine(run, 20.0)
    found = states(checks)
    assert found.pop("time and memory") in ("good", "look")
    assert found == {
        "no label leak": "good", "first loss": "good", "one batch": "good", "learns from the pixels": "not yet",
        "uses time": "not yet", "mirror images": "good",
    }  # fmt: skip
    assert "0.693 on 8 clips; outputs of 0 give 0.693" in checks[2].found
    mirrors = doctor.mirror_images(replace(run, view=replace(run.view, flip=True)))
    assert (mirrors.state, mirrors.advice) == (
        "look", 'say --view.no-flip, or exchange the labels: --flip-swaps "left" "right"',
    )  # fmt: skip
    assert not run.out.exists()


def test_slow_decoding_is_told(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = run_of(small, tmp_path / "out", workers=1, keep_decoded=False)
    cpu = torch.device("cpu")
    assert doctor.cost(run, decoding=0.1, computing=0.1, device=cpu).state == "good"
    monkeypatch.setattr(resizing, "compiled", lambda: None)
    assert "pip install 'tubelet[fast]'" in doctor.cost(run, 0.3, 0.1, cpu).advice
    monkeypatch.setattr(resizing, "compiled", lambda: print)
    told = doctor.cost(run, 0.3, 0.1, cpu)
    assert (told.state, told.advice) == (
        "look", "Decoding is the slower part: more --workers, --keep-decoded, smaller files.",
    )  # fmt: skip


def test_after_a_run_from_the_shell(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = run_of(small, tmp_path / "out", epochs=1, optimizer=Optimizer(lr=1e-9))
    train(run, progress=False)
    before = {file: file.read_bytes() for file in run.out.rglob("*") if file.is_file()}
    assert shell.main("tubelet doctor", [str(run.out), "--seconds", "0"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "bad learns from the pixels: training loss" in out
    assert "look uses time: top-1" in out
    assert "Too few steps to tell" in out
    assert {file: file.read_bytes() for file in run.out.rglob("*") if file.is_file()} == before


def test_a_model_that_needs_the_order_of_frames_is_told(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", epochs=30, batch_size=4, optimizer=Optimizer(lr=3e-3))
    train(run, progress=False)
    assert doctor.passes_prior(run).state == "good"
    assert doctor.uses_time(run).state == "good"


def test_a_leak_is_named(tmp_path: Path):
    rows = ["path,label,split"]
    for number in range(4):
        write_clip(tmp_path / f"{number}.mp4", moving_square(1, number))
        rows.append(f"{number}.mp4,{'ab'[number % 2]},{'val' if number > 1 else 'train'}")
    rows.append("0.mp4,a,val")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    table = Table(file=tmp_path / "clips.csv", label=("label",), split="split")
    found = doctor.leaks(table)
    assert found.state == "bad"
    assert "0.mp4 (train, val)" in found.found


def test_a_sure_and_wrong_start_is_told(small: Path, tmp_path: Path):
    train(run_of(small, tmp_path / "a", epochs=12, optimizer=Optimizer(lr=3e-3)), progress=False)
    start = Pretrained(file=tmp_path / "a", rules=Start(heads="kept"))
    run = run_of(small, tmp_path / "b", init=start)
    model, _ = doctor.build_model(run)
    model.head.weight.data *= -30
    batch, _ = doctor.training_batch(run)
    check = doctor.first_loss(run, model, run.view.finish(batch.pixels, batch.colour), batch.targets)
    assert check.state == "bad"
    assert "sure and wrong" in check.advice


def test_a_run_is_read_back(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", epochs=1)
    train(run, progress=False)
    assert read_run(run.out) == run
    values = run_of(
        small, tmp_path / "other", model=FACTORISED, frozen=Frozen(epochs=3), flip_swaps=(("left", "right"),),
        view=replace(run.view, flip=True, colour=(0.8, 0.1)), init=Pretrained(file=Path("vit.npz")),
    )  # fmt: skip
    (run.out / "run.json").write_text(json.dumps(values.to_dict()))
    assert read_run(run.out) == replace(values, out=run.out)
    with pytest.raises(ConfigError, match="holds no run"):
        read_run(tmp_path)
    (run.out / "run.json").write_text('{"data": {"kind of source": "os.system"}}')
    with pytest.raises(ConfigError, match="not Tubelet's"):
        read_run(run.out)


def test_frames_that_hardly_change(small: Path, tmp_path: Path):
    run = run_of(small, tmp_path / "out", model=FACTORISED, init=Pretrained(file=Path("vit.npz")))
    model, clips = ViViT(FACTORISED), torch.randn(4, 8, 3, 32, 32)
    (moving,) = doctor.what_changes(run, model, clips)
    (still,) = doctor.what_changes(run, model, clips[:, :1] + 0.01 * clips)
    assert (moving.state, still.state) == ("good", "look")
    assert "--model.centre-frames" in still.advice
    assert doctor.what_changes(replace(run, init=None), model, clips) == []
    assert (
        doctor.what_changes(replace(run, model=replace(FACTORISED, centre_frames=True)), model, clips) == []
    )
