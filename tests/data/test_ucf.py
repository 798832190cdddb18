from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.files import touch, write
from tubelet.data.ucf import Hmdb51, Ucf101
from tubelet.errors import ConfigError, DataError

UCF_CLASSES = ("ApplyEyeMakeup", "Archery")


def clip(name: str, group: int, number: int = 1) -> str:
    return f"{name}/v_{name}_g{group:02}_c{number:02}.avi"


@pytest.fixture
def ucf(tmp_path: Path) -> Ucf101:
    lists = tmp_path / "lists"
    write(lists / "classInd.txt", "1 ApplyEyeMakeup\n2 Archery\n")
    train = [(name, group, c) for name in UCF_CLASSES for group in range(8, 18) for c in (1, 2)]
    write(lists / "trainlist01.txt", "".join(f"{clip(*t)} {UCF_CLASSES.index(t[0]) + 1}\n" for t in train))
    write(lists / "testlist01.txt", f"{clip('Archery', 1)}\r\n{clip('Archery', 2)}\r\n")
    touch(tmp_path / "videos", *(clip(*t) for t in train), clip("Archery", 1))
    return Ucf101(root=tmp_path / "videos", annotations=lists)


def test_ucf_lists(ucf: Ucf101) -> None:
    assert ucf.labels.heads[0].classes == UCF_CLASSES
    assert [s.labels for s in ucf.samples("test")] == [(1,)]
    assert ucf.missing == {"test": (clip("Archery", 2),)}
    train, val = ({s.group for s in ucf.samples(split)} for split in ("train", "val"))
    assert len(val) == 2
    assert not train & val
    assert {s.labels[0] for s in ucf.samples("val")} == {0, 1}
    other = Ucf101(root=ucf.root, annotations=ucf.annotations, seed=1)
    assert {s.group for s in other.samples("val")} != val
    whole = Ucf101(root=ucf.root, annotations=ucf.annotations, val=0)
    assert whole.splits == ("train", "test")
    assert len(whole.samples("train")) == 40


@pytest.fixture
def hmdb(tmp_path: Path) -> Hmdb51:
    lists = tmp_path / "lists"
    for name in ("run", "brush_hair"):
        lines = [f"film{i}_{name}_u_nm_np1_ba_goo_{c}.avi {i % 3} \n" for i in range(30) for c in range(2)]
        write(lists / f"{name}_test_split2.txt", "".join(lines))
        touch(tmp_path / "videos", *(f"{name}/{line.split()[0]}" for line in lines))
    return Hmdb51(root=tmp_path / "videos", annotations=lists, fold=2)


def test_hmdb_lists(hmdb: Hmdb51) -> None:
    assert hmdb.labels.heads[0].classes == ("brush_hair", "run")
    assert len(hmdb.samples("test")) == 40
    train, val = ({s.group for s in hmdb.samples(split)} for split in ("train", "val"))
    assert len(train | val) == 10
    assert len(val) == 2  # of the ten films of the training list
    assert not train & val
    assert all(s.group == "film1" for s in hmdb.samples("train") if s.path.name.startswith("film1_"))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("classInd.txt", "ApplyEyeMakeup\n", "line 1: 'ApplyEyeMakeup' is not a number"),
        ("classInd.txt", "1 A\n3 B\n", "none has the number 1"),
        ("testlist01.txt", "Dancing/v_Dancing_g01_c01.avi\n", "line 1: .* is not Class/v_Class_gNN_cNN.avi"),
        ("trainlist01.txt", "Archery/v_Archery_g01_c01.avi 1\n", "line 1: .* with the class's number"),
        ("trainlist01.txt", "Archery/film.avi 2\n", "line 1"),
    ],
)
def test_bad_lines_are_named(ucf: Ucf101, name: str, text: str, sentence: str) -> None:
    write(ucf.annotations / name, text)
    with pytest.raises(DataError, match=sentence):
        _ = ucf.labels


def test_bad_lists_of_hmdb_are_named(hmdb: Hmdb51) -> None:
    write(hmdb.annotations / "run_test_split2.txt", "film1.avi 3\n")
    with pytest.raises(
        DataError, match=r"run_test_split2.txt, line 1: 'film1.avi 3' is not a file and 0, 1 or 2"
    ):
        _ = hmdb.labels
    with pytest.raises(DataError, match=r"no list \{class\}_test_split1.txt"):
        _ = Hmdb51(root=hmdb.root, annotations=hmdb.annotations).labels


@pytest.mark.parametrize("make", [Ucf101, Hmdb51])
def test_shares_are_checked(make: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shares of the data"):
        make(root=tmp_path, annotations=tmp_path, val=1.0)
