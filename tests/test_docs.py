"""Every Python block of the README and the docs runs, in order, from the project's root."""

import re
import shlex
from pathlib import Path

import pytest

from tubelet.cli import train

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if not block.startswith("# skip: "):
            exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_trainings_can_be_typed(page: Path) -> None:
    """Every command that trains and needs no file makes a run."""
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"(?:^|cli |^ +tubelet )(?:tubelet )?train (\w+ [^`#\n]*)", text, re.MULTILINE):
        if "--init" not in line and "--help" not in line:
            assert train.run_from_shell("tubelet train", shlex.split(line)).epochs >= 0
