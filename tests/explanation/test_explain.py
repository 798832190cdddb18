"""`explain`: of a classifier and a video, with moments, and as pictures."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.clips import write_clip
from tests.explanation.truth import PATTERNS, random_model, tiny, trained_model
from tubelet import Classifier, ConfigError, DecodeError, Head, Labels, View, explain
from tubelet.explanation.explain import evidence, held_still
from tubelet.explanation.pictures import draw_sheet, overlay, write_film
from tubelet.prediction import Look

VIEW = View(frames=4, stride=1, size=16, channels=1, value_range=(-1.0, 1.0))
LABELS = Labels.single(("rows", "columns", "squares"))


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(random_model(tiny("factorised_encoder", "class")), VIEW, LABELS)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return write_clip(tmp_path / "clip.mp4", pixels.permute(0, 2, 3, 1).contiguous().numpy())


def test_an_explanation_is_of_the_best_class_and_the_clip_that_was_seen(
    classifier: Classifier, clip: Path
) -> None:
    found = explain(classifier, clip)
    said = classifier.predict(clip, views="1x1")
    assert (found.label, found.probability) == (said.top(1)[0][0], pytest.approx(said.top(1)[0][1]))
    assert found.map.shape == (4, 4, 4)
    assert float(found.map.sum()) == pytest.approx(1)
    assert found.indices.tolist() == said.indices[0].tolist() == [2, 3, 4, 5]
    assert found.heat().shape == (4, 16, 16)
    assert float(found.heat().max()) <= 1
    assert found.tubelet_seconds()[0] == pytest.approx((found.seconds[0], found.seconds[0]))
    other = explain(classifier, clip, "squares" if found.label != "squares" else "rows", method="rollout")
    assert other.label != found.label
    assert other.method == "rollout"
    torch.testing.assert_close(other.map.sum(), torch.tensor(1.0))


def test_moments_are_what_the_log_odds_lose(classifier: Classifier, clip: Path) -> None:
    found = explain(classifier, clip)
    pixels = classifier.view.normalise(found.frames)
    still = pixels.clone()
    still[2] = pixels[1]

    def odds(clip: Tensor) -> Tensor:
        logits = classifier.run(clip[None])[0]
        place = LABELS.heads[0].classes.index(found.label)
        return logits.softmax(0)[place].logit()

    assert float(found.moments[2]) == pytest.approx(float(odds(pixels) - odds(still)), abs=1e-4)


def test_the_moment_that_carries_the_label_decides(tmp_path: Path) -> None:
    classifier = Classifier(trained_model(tiny("factorised_encoder", "mean")), VIEW, LABELS)
    generator = torch.Generator().manual_seed(4)
    right = 0
    for number in range(12):
        pixels = torch.randn(4, 1, 16, 16, generator=generator) * 0.5
        time = number % 4
        pixels[time, 0, 4:8, 8:12] = PATTERNS[number % 3] * 1.5
        shown = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(4, 3, 16, 16)
        folder = tmp_path / str(number)
        folder.mkdir()
        for frame, picture in enumerate(shown):
            Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(folder / f"{frame}.png")
        label = LABELS.heads[0].classes[number % 3]
        right += int(explain(classifier, folder, label).moments.argmax()) == time
    assert right >= 9, f"{right} of 12"


def test_frames_are_held_still_one_moment_at_a_time() -> None:
    clip = torch.arange(4.0).view(4, 1, 1, 1)
    assert held_still(clip, 2).flatten(1).tolist() == [[2, 2, 2, 3], [0, 1, 1, 1]]
    assert held_still(clip, 1).flatten(1).tolist() == [[1.5] * 4]


def test_evidence_is_log_odds_or_the_number() -> None:
    logits = torch.tensor([1.0, 2.0, 0.5])
    single, multi = Head("label", ("a", "b", "c")), Head("label", ("a", "b", "c"), "multi")
    assert float(evidence(single, logits, 1)) == pytest.approx(float(logits.softmax(0)[1].logit()), abs=1e-6)
    assert float(evidence(multi, logits, 1)) == 2.0


def test_what_cannot_be_explained_is_said(classifier: Classifier, clip: Path) -> None:
    with pytest.raises(ConfigError, match=r"no class 'stripes'\. It has: rows, columns, squares"):
        explain(classifier, clip, "stripes")
    with pytest.raises(ConfigError, match=r"no head 'verb'\. There are: label"):
        explain(classifier, clip, head="verb")
    with pytest.raises(ConfigError, match="gradient or rollout"):
        explain(classifier, clip, method="lime")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="fewer tokens"):
        explain(classifier.with_fewer_tokens(merge=0.2), clip)
    with pytest.raises(DecodeError, match="no such file"):
        explain(classifier, clip.with_name("absent.mp4"))


def test_several_heads_are_explained_one_at_a_time(clip: Path) -> None:
    model = random_model(replace(tiny("joint", "class"), classes=(2, 3)))
    labels = Labels((Head("verb", ("open", "close")), Head("noun", ("door", "box", "jar"))))
    found = explain(Classifier(model, VIEW, labels), clip, "jar", head="noun")
    look = Classifier(model, VIEW, labels).look(clip, "1x1")
    assert isinstance(look, Look)
    with torch.inference_mode():
        logits = model(VIEW.normalise(look.pixels), every_token=True)[0]
    assert found.probability == pytest.approx(float(logits[2:].softmax(0)[2]))
    predicted = Classifier(model, VIEW, labels).predict(clip, "1x1").logits
    torch.testing.assert_close(predicted, logits, rtol=1e-4, atol=1e-4)


def test_pictures_and_arrays_are_written_once(classifier: Classifier, clip: Path, tmp_path: Path) -> None:
    found = explain(classifier, clip)
    seen = overlay(found)
    assert seen.shape == (4, 224, 224, 3)
    write_film(found, tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert np.shape(pictures) == (4, 224, 448, 3)
    assert np.abs(pictures[1][:, 224:].astype(float) - seen[1]).mean() < 8
    with Image.open(draw_sheet(found, tmp_path / "sheet.png")) as sheet:
        assert sheet.width >= 4 * 128
    found.save_arrays(tmp_path / "arrays.npz")
    with np.load(tmp_path / "arrays.npz") as arrays:
        np.testing.assert_array_equal(arrays["map"], found.map.numpy())
    for again in (
        lambda: write_film(found, tmp_path / "film.mp4"),
        lambda: draw_sheet(found, tmp_path / "sheet.png"),
        lambda: found.save_arrays(tmp_path / "arrays.npz"),
    ):
        with pytest.raises(FileExistsError):
            again()
