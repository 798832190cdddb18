"""Every kind of data can be typed: the fields of a source are its flags."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import tyro

import tubelet.data
from tests.data.files import touch, write
from tubelet.cli.data import SOURCES, Kind, flags, kind_of, source_class, source_from_flags, with_data
from tubelet.data import EpicKitchens, Folders, Fractions, Kinetics, Shards, Table, Ucf101, Without
from tubelet.data.quarantine import write_list
from tubelet.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command."""

    model: tyro.conf.Positional[str]
    """The first."""
    data: Any
    """The data."""
    split: str = "test"
    """The split."""


def by_flags(*arguments: str) -> Any:
    def recipe(data: Any) -> Any:
        return source_from_flags(data)

    recipe.__annotations__["data"] = flags(arguments)
    return tyro.cli(recipe, args=list(arguments))


def by_place(*arguments: str) -> Any:
    return source_from_flags(tyro.cli(with_data(Command, arguments), args=list(arguments)).data)


def test_folders_and_tables_by_their_looks() -> None:
    folders = Folders(root=Path("clips"), group=r"(g\d)", fractions=Fractions(val=0.2, test=0.1, seed=3))
    typed = ("--data.group", r"(g\d)", "--data.val", "0.2", "--data.test", "0.1", "--data.seed", "3")
    assert by_flags("--data.root", "clips", *typed) == folders
    assert by_place("model", "clips", *typed) == folders
    table = Table(
        file=Path("a.CSV"), label=("verb", "noun"), multi=("noun",), unit="frames", frame_rate=25, start="a"
    )
    typed = (
        "--data.label",
        "verb",
        "noun",
        "--data.multi",
        "noun",
        "--data.unit",
        "frames",
        "--data.frame-rate",
        "25",
    )
    typed += ("--data.start", "a")
    assert by_flags("--data.root", "a.CSV", *typed) == table
    assert by_flags("--data.root=a.CSV", *typed) == table
    assert by_place("--split", "val", "model", "a.CSV", *typed) == table


def test_official_datasets_by_name() -> None:
    kinetics = Kinetics(root=Path("k"), annotations=Path("k/csv"))
    typed = ("--data.kind", "kinetics", "--data.annotations", "k/csv")
    assert by_flags("--data.root", "k", *typed) == kinetics
    assert by_place("model", "k", *typed) == kinetics
    assert by_place("model", "k", "--data.kind=kinetics", "--data.annotations", "k/csv") == kinetics
    epic = EpicKitchens(root=Path("e"), annotations=Path("a"), edition="55", held_out=("P01",), image_rate=60)
    typed = (
        "--data.kind",
        "epic",
        "--data.annotations",
        "a",
        "--data.edition",
        "55",
        "--data.held-out",
        "P01",
    )
    assert by_place("model", "e", *typed, "--data.image-rate", "60") == epic
    typed = ("--data.kind", "ucf101", "--data.annotations", "a", "--data.fold", "3", "--data.val", "0")
    assert by_place("m", "u", *typed) == Ucf101(root=Path("u"), annotations=Path("a"), fold=3, val=0)


def test_shards_by_their_index_or_url(tmp_path: Path) -> None:
    touch(tmp_path, "index.json")
    assert by_place("model", str(tmp_path)) == Shards(root=str(tmp_path))
    assert by_flags("--data.root", "https://host/k400/") == Shards(root="https://host/k400/")


def test_what_a_kind_lacks_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (("--data.root", "k", "--data.kind", "kinetics"), "--data.annotations"),
        (("--data.root", "clips", "--data.label", "a"), "--data.label"),
        (
            ("--data.root", "u", "--data.kind", "ucf101", "--data.annotations", "a", "--data.val", "2"),
            "below 1",
        ),
    ):
        with pytest.raises(SystemExit):
            by_flags(*arguments)
        assert said in capsys.readouterr().err
    with pytest.raises(ConfigError, match="there are folders, table, kinetics"):
        by_flags("--data.kind", "imagenet")


def test_the_value_of_another_flag_is_no_data() -> None:
    assert kind_of(["model", "clips", "--out", "x.csv"]) == "folders"
    assert kind_of(["model", "clips.csv", "--data.kind", "ssv2"]) == "ssv2"
    assert kind_of(["--data.root", "clips.csv"], usual="kinetics") == "kinetics"


def test_a_quarantine_is_taken(tmp_path: Path) -> None:
    source = Folders(root=touch(tmp_path / "clips", "train/a/1.mp4", "train/a/2.mp4"))
    write_list(tmp_path / "list.csv", [(source.samples("train")[0], "broken")])
    typed = ("--data.root", str(source.root), "--data.quarantine", str(tmp_path / "list.csv"))
    found = by_flags(*typed)
    assert found == Without(source=source, clips=tmp_path / "list.csv")
    assert [s.path.name for s in found.samples("train")] == ["2.mp4"]
    write(tmp_path / "list.csv", "video\n")
    with pytest.raises(DataError, match="no column start_seconds"):
        by_flags(*typed).samples("train")


@pytest.mark.parametrize("kind", SOURCES)
def test_every_field_of_every_source_is_a_flag(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        by_flags("--data.kind", kind, "--help")
    shown = capsys.readouterr().out
    for one in fields(source_class(kind)):
        names = ("val", "test", "seed") if one.name == "fractions" else (one.name.replace("_", "-"),)
        for name in names:
            assert f"--data.{'root' if name == 'file' else name} " in shown
    assert "--data.quarantine" in shown


def test_every_source_can_be_typed() -> None:
    assert set(SOURCES.values()) | {"Fractions", "Sample", "Source", "Without"} == set(tubelet.data.__all__)
