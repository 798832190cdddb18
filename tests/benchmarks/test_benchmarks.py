"""The harness: turns, checks, records; every table once, at a size that means nothing."""

import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tubelet.benchmarks import settings, turns
from tubelet.benchmarks.machine import Machine, matmul_peak
from tubelet.benchmarks.programs import Program, measure_memory, write_model
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Settings
from tubelet.benchmarks.tables import RECORDED, TABLES, write_page
from tubelet.benchmarks.turns import DifferentAnswersError, Spread, check_same, ratios, take_turns
from tubelet.cli import bench
from tubelet.errors import ConfigError, DataError

TINY = Settings(model="s-16x2", frames=4, size=32, blocks=1, seconds=0.01)


@pytest.fixture(autouse=True)
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring it takes longer than these tables."""
    monkeypatch.setattr(settings, "matmul_peak", lambda dtype, device: 1e12)


def test_programs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    times = iter(range(100))
    monkeypatch.setattr(turns.time, "perf_counter", lambda: float(next(times)))
    programs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = take_turns(programs, budget_seconds=8, least=3)
    # Each takes one of the clock's seconds: four rounds of two fit into eight, after one to warm up.
    assert order == ["a", "b"] + ["a", "b"] * 4
    assert seconds == {"a": [1.0] * 4, "b": [1.0] * 4}
    order.clear()
    take_turns(programs, budget_seconds=0, least=3, warm=True)
    assert order == ["a", "b"] * 3


def test_medians_and_ratios() -> None:
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 100.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)
    # Twice as fast in every round, however long the rounds took.
    assert ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == Spread(2.0, 2.0, 2.0)


def test_other_functions_are_not_compared() -> None:
    one = torch.tensor([1.0, -4.0])
    assert check_same({"a": one, "b": one + 0.004}, 0.002) == {"a": 0.0, "b": pytest.approx(0.001, rel=1e-3)}
    with pytest.raises(DifferentAnswersError, match=r"b differs from a by 0\.25"):
        check_same({"a": one, "b": one + 1}, 0.1)
    with pytest.raises(DifferentAnswersError):
        check_same({"a": one, "b": one * torch.nan}, 0.1)


def test_peak_and_machine() -> None:
    machine = Machine.here()
    assert machine.threads == torch.get_num_threads()
    assert f"torch {importlib.metadata.version('torch')}" in str(machine)
    assert matmul_peak(torch.float32, torch.device("cpu"), repeats=1) > 1e8
    json.dumps(machine.to_dict())


def test_a_record_is_read_back_and_written(tmp_path: Path) -> None:
    record = Record(
        name="forward", title="T", about="A.", columns=("what", "time"), rows=[("one", "1 s"), ("two", "")],
        machine="M", seconds=3.4, measured={"seconds": [1.0]},
    )  # fmt: skip
    again = Record.read(record.write(tmp_path))
    assert again.markdown() == record.markdown()
    assert "| what | time |\n| --- | ---: |\n| one | 1 s |" in record.markdown()
    assert write_page(tmp_path, tmp_path / "page.md") == [n for n in RECORDED if n != "forward"]
    assert "## T\n\nA.\n" in (tmp_path / "page.md").read_text()
    with pytest.raises(DataError, match="holds none of"):
        write_page(tmp_path / "other", tmp_path / "page.md")


def test_the_page_is_what_the_records_say(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    write_page(root / "benchmarks", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (root / "docs/benchmarks.md").read_text()


def test_the_four_models() -> None:
    record = TABLES["models"](TINY)
    assert [row[0] for row in record.rows] == ["Model 1", "Model 2", "Model 3", "Model 4"]
    record.table()
    record.markdown()


def test_both_libraries_forward_and_training(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from tubelet.benchmarks import forward
    from tubelet.benchmarks.programs import Memory

    monkeypatch.setattr(forward, "memory_of", lambda program: Memory(1, 100 + len(program.library)))
    build = Program.build

    def plain(program: Program) -> object:
        return build(program if not program.compiled else Program(**{**vars(program), "compiled": False}))

    monkeypatch.setattr(Program, "build", plain)
    record = forward.forward_table(TINY)
    assert [row[1] for row in record.rows][:4] == [
        "transformers", "Tubelet", "transformers, compiled", "Tubelet, compiled",
    ]  # fmt: skip
    assert record.rows[1][-2:] == (f"{107 / 112:.2f}", record.rows[1][-1])
    assert float(record.rows[1][-1]) < 1e-4
    learned = forward.training_table(TINY)
    assert [row[0] for row in learned.rows] == ["Model 1", "", "", "Model 1, checkpointing", "", "Model 2"]
    assert float(learned.rows[1][-1]) < 1e-4


def test_memory_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = write_model(TINY.config(), tmp_path / "model")
    program = TINY.program("Tubelet", folder, batch=1, training=True, checkpointing=True)
    memory = measure_memory(program, 1)
    assert 50e6 < memory.imported < memory.peak


def test_what_is_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="no table 'fast'"):
        bench.main("tubelet bench", ["fast"])
    with pytest.raises(ConfigError, match="--out"):
        bench.main("tubelet bench", ["--docs", str(tmp_path / "page.md")])
    out = ["--out", str(tmp_path), "--docs", str(tmp_path / "page.md")]
    flags = ["--model", "s-16x2", "--frames", "4", "--size", "32", "--blocks", "1", "--seconds", "0.01"]
    assert bench.main("tubelet bench", ["models", *flags, *out]) == 0
    assert "The four models" in capsys.readouterr().out
    assert "## The four models" in (tmp_path / "page.md").read_text()


def test_stream() -> None:
    """Both ways answer the same windows the same; with a random head that is not zero."""
    record = TABLES["stream"](replace(TINY, blocks=2))
    assert [row[:2] for row in record.rows] == [
        ("1 of 2 tubelets", "the whole window"),
        ("", "each tubelet once"),
    ]
    assert float(record.rows[1][-1]) < 1e-4
    assert 1.2 < float(record.rows[1][-2].removesuffix("x")) < 2


def test_lighter() -> None:
    record = TABLES["lighter"](replace(TINY, blocks=2))  # of the last block nothing is left to merge
    names = [row[1] for row in record.rows]
    assert names[0] == names[len(names) // 2] == "float32, all tokens"
    assert [row[0] for row in record.rows if row[0]] == ["Model 1", "Model 2"]
    macs = record.measured["macs"]["Model 1"]
    assert macs["merge 0.3"] < macs["int8"] == macs["float32, all tokens"]
