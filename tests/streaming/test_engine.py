"""Answers of the engine are those of the whole forward pass; each tubelet goes through the spatial encoder once."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet import Classifier, ConfigError, Labels, View, ViViT, ViViTConfig
from tubelet.streaming.engine import Engine
from tubelet.streaming.windows import ArrivedWindow

ENCODER = ViViTConfig(
    attention="factorised_encoder", frames=8, size=16, tubelet=(2, 8, 8), width=24, depth=2, heads=2, hidden=32,
    temporal_depth=2, classes=(3, 2),
)  # fmt: skip
VIEW = View(frames=8, stride=1, size=16, fit="squash", value_range=(-1.0, 1.0), short="hold")
OTHERS: dict[str, dict[str, Any]] = {
    "averaged": {"temporal_depth": 0},
    "centred": {"centre_frames": True},
    "mean, sines": {"pool": "mean", "positions": "sinusoidal_1d"},
    "one frame": {"tubelet": (1, 8, 8)},
    "sampled": {"tubelet": (1, 8, 8), "sampled_frames": 4},
    "joint": {"attention": "joint", "temporal_depth": None},
    "self": {"attention": "factorised_self_attention", "temporal_depth": None},
    "dot": {"attention": "factorised_dot_product", "temporal_depth": None},
}
CONFIGS = {"encoder": ENCODER} | {name: replace(ENCODER, **fields) for name, fields in OTHERS.items()}


def make(config: ViViTConfig, view: View = VIEW) -> Classifier:
    model = ViViT(config, torch.Generator().manual_seed(1))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return Classifier(model, view, Labels.numbered(config.classes))


def frames(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8)


def whole(classifier: Classifier, window: Tensor) -> Tensor:
    return classifier.run(classifier.view.normalise(window)[None])[0]


@pytest.mark.parametrize(
    ("name", "hop"),
    [(name, 2) for name in CONFIGS] + [(n, h) for n in ("encoder", "joint") for h in (1, 3, 10)],
)
def test_answers_are_those_of_the_whole_forward_pass(name: str, hop: int) -> None:
    """For every model, whether the frames of a tubelet divide the hop or not."""
    classifier = make(CONFIGS[name])
    engine = Engine(classifier, hop)
    assert (engine.whole_because is not None) == (name in ("sampled", "joint", "self", "dot"))
    video = frames(31)
    found = [a for n, one in enumerate(video) for a in engine.see(one, n / 10)] + engine.finish()
    assert [int(a.indices[0, 0]) for a in found][:2] == [0, hop]
    assert len(found) >= (31 - 8) // hop + 1
    for answer in found:
        expected = whole(classifier, video[answer.indices[0]])
        torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)
    # The answers differ from each other by far more than they differ from the truth.
    assert (torch.stack([a.logits for a in found]).std(0) > 1e-3).all()


def test_fewer_tokens_run_whole() -> None:
    """Which tokens are merged depends on the clip, so nothing of it is kept."""
    fewer = make(ENCODER).with_fewer_tokens(merge=0.3)
    engine, video = Engine(fewer), frames(20)
    assert engine.whole_because is not None
    for number, one in enumerate(video):
        for answer in engine.see(one, number / 10):
            expected = whole(fewer, video[answer.indices[0]])
            torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hop", [1, 2, 4])
def test_each_tubelet_is_encoded_once(hop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = make(ENCODER)
    encoded: list[int] = []
    real = classifier.model.frame_vectors

    def counted(video: Tensor) -> Tensor:
        encoded.append(len(video))
        return real(video)

    monkeypatch.setattr(classifier.model, "frame_vectors", counted)
    engine = Engine(classifier, hop)
    for number, one in enumerate(frames(40)):
        engine.see(one, number / 10)
    # The window's four, then those that a hop adds; with a hop of one frame they begin on odd frames too.
    assert encoded == {2: [4, *[1] * 16], 4: [4, *[2] * 8], 1: [4, 4, *[1] * 31]}[hop]
    assert len(engine._vectors) <= 8


def test_windows_may_be_left_out_and_come_in_batches() -> None:
    classifier = make(ENCODER)
    engine, video = Engine(classifier, 2), frames(60)
    windows = [w for n, one in enumerate(video) for w in engine.windows.see(one, n / 10)]
    chosen = [windows[n] for n in (0, 1, 2, 9, 10, 25)]
    for answer in engine.answers(chosen[:2]) + engine.answers(chosen[2:]):
        expected = whole(classifier, video[answer.indices[0]])
        torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)


def test_short_videos_and_their_end() -> None:
    classifier = make(ENCODER)
    engine = Engine(classifier)
    assert engine.hop == 2
    video = frames(5)
    assert [engine.see(one, n / 10) for n, one in enumerate(video)] == [[]] * 5
    (answer,) = engine.finish()
    assert answer.indices.tolist() == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert answer.end_seconds == pytest.approx(0.5)
    expected = whole(classifier, video[answer.indices[0]])
    torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)
    assert engine.finish() == []


def test_a_uniform_view_needs_a_time() -> None:
    classifier = make(ENCODER, View(frames=8, uniform=True, trim=0.1, size=16, value_range=(-1.0, 1.0)))
    with pytest.raises(ConfigError, match="window_seconds"):
        Engine(classifier)
    with pytest.raises(ConfigError, match="window_seconds=0"):
        Engine(classifier, window_seconds=0)
    engine = Engine(classifier, window_seconds=2.0)
    found = [a for n, one in enumerate(frames(31)) for a in engine.see(one, n / 10)]
    assert found[0].indices.tolist() == [[0, 2, 5, 7, 10, 12, 15, 17]]
    assert found[0].end_seconds == pytest.approx(2.0)


def test_nothing_grows() -> None:
    """After a thousand frames as much is held as after forty."""
    engine = Engine(make(ENCODER))
    held: list[ArrivedWindow] = []
    for number, one in enumerate(frames(50).repeat(20, 1, 1, 1)):
        held = engine.windows.see(one, number / 10) or held
        if number % 100 == 7:  # answers far apart: what was skipped is not kept
            engine.answers(held)
    assert len(engine._vectors) <= 4
    assert len(engine.windows._samples) == 8
    assert len(engine.windows._gaps) < 100
