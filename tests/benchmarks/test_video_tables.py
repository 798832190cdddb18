"""The tables about files: decoding, clips, training input, a folder to labels; once, at a size that means nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.benchmarks import decoding, feeding, footage, readers
from tubelet.benchmarks.settings import Settings

TINY = Settings(model="s-16x2", frames=4, size=32, blocks=1, seconds=0.01)


def test_decoding_and_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SIZES", ((48, 32),))
    monkeypatch.setattr(decoding, "FRAMES", 12)
    monkeypatch.setattr(decoding, "CLIP_CODECS", ("mpeg4",))
    monkeypatch.setattr(decoding, "codecs_here", lambda: {"mpeg4": decoding.CODECS["mpeg4"]})
    found = decoding.decode_table(TINY)
    assert [row[0] for row in found.rows if row[0]] == ["mpeg4, 48x32"]
    assert found.rows[-1][1] == "Tubelet"
    assert all(float(row[2].split()[0]) > 0 for row in found.rows)
    found = decoding.clips_table(TINY)
    assert {"PyAV", "Tubelet"} <= {row[1] for row in found.rows}


def test_readers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "installed", lambda module: False)
    assert list(readers.readers_here()) == ["PyAV"]
    assert readers.absent_readers() == ["Not installed here, so not compared: torchcodec, decord."]


def test_input_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for number in range(2):
        pictures = footage.made_pictures((48, 32), 12, number)
        footage.encode(footage.CODECS["mpeg4"], (48, 32), pictures, tmp_path / f"{number}.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    settings = replace(TINY, videos=tmp_path)
    monkeypatch.setattr(feeding, "CLIPS", 2)
    monkeypatch.setattr(feeding, "BATCH", 2)
    monkeypatch.setattr(feeding, "cores", lambda: 1)
    programs = [row[1] for row in feeding.input_table(settings).rows]
    assert programs == ["DataLoader", "Tubelet", "Tubelet, --keep-decoded"]
    found = feeding.files_table(settings)
    difference = {row[1]: row[-1] for row in found.rows}
    assert float(difference["Tubelet"]) < 0.01
    cases = [row[0] for row in found.rows if row[0]]
    assert cases == ["ti-16x2, 4x112x112, 2 files", f"{settings.named()}, 4x32x32, 2 files"]
    assert found.rows[0][1] == "transformers"
