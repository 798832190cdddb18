"""The camera-motion recipe: signs by construction, determinism, mirror images, a run of two steps."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.recipes.camera_motion import train as recipe_module
from tubelet.recipes.camera_motion.flow import picture_flow
from tubelet.recipes.camera_motion.generator import Clips, film, look, make_clip
from tubelet.recipes.camera_motion.moves import (
    AMBIGUOUS,
    BANDS,
    HEADS,
    Motion,
    camera_path,
    draw_motion,
    picture_grid,
    picture_matrices,
    three_way,
)
from tubelet.recipes.camera_motion.package import read_run
from tubelet.recipes.camera_motion.scenes import Plate, make_plates
from tubelet.recipes.camera_motion.scoring import CLASSES, as_input, balanced_accuracy, loss_of
from tubelet.recipes.camera_motion.symmetry import Batch, random_symmetry, swap
from tubelet.recipes.camera_motion.waves import Features, ridge, start_from_motion

CLEAN = Clips(seed=3, frames=16, side=64, harm=0.0, objects=0.0)


@pytest.fixture(scope="module")
def plates() -> list[Plate]:
    return make_plates(0, textures=4, photographs=())


def clean_film(plates: list[Plate], motion: Motion, seed: int = 0) -> Tensor:
    """Grey (F, S, S) frames of one motion over a texture, steady speed, 8 frames per second."""
    rng = np.random.default_rng(seed)
    path = camera_path(rng, motion, 2.0)
    frames = film(rng, CLEAN, plates, plates[0], path, np.arange(16) / 8, 0.0, 1.0)
    return frames.mean(1)


def shift_between(before: Tensor, after: Tensor) -> tuple[float, float]:
    """(x, y) pixels by which the content moved, by phase correlation."""
    window = torch.hann_window(before.shape[0], periodic=False)
    taper = window[:, None] * window[None]
    one, two = (torch.fft.fft2((p - p.mean()) * taper) for p in (before, after))
    cross = two * one.conj()
    peak = torch.fft.ifft2(cross / cross.abs().clamp(min=1e-6)).real
    y, x = divmod(int(peak.argmax()), peak.shape[1])
    side = peak.shape[0]
    return ((x + side // 2) % side - side // 2, (y + side // 2) % side - side // 2)


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [
        (Motion(pan=0.4), 0, -1),  # the camera turns right: the content moves left
        (Motion(pan=-0.4), 0, 1),
        (Motion(tilt=0.4), 1, 1),  # the camera turns up: the content moves down
        (Motion(tilt=-0.4), 1, -1),
    ],
)
def test_pan_and_tilt_move_the_content_the_other_way(
    plates: list[Plate], motion: Motion, axis: int, sign: int
) -> None:
    frames = clean_film(plates, motion)
    total = sum(shift_between(a, b)[axis] for a, b in itertools.pairwise(frames))
    assert sign * total == pytest.approx(0.4 * 64 * 15 / 8, rel=0.25)


def dot_film(motion: Motion, spot: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Where a bright spot right of the centre is in the first and the last frame: (x, y) from the centre."""
    picture = torch.zeros(1, 3, 512, 512)
    x, y = (int(256 + v * 200) for v in spot)  # 200 pixels of the plate are one width of the frame
    picture[:, :, y - 6 : y + 7, x - 6 : x + 7] = 255
    path = camera_path(np.random.default_rng(0), motion, 2.0)
    matrices = torch.from_numpy(picture_matrices(path.at(np.array([0.0, 1.0])), 1.0)).float()
    plane = picture_grid(64) @ matrices.transpose(1, 2)
    frames = look(Plate((picture,)), plane, 200.0, np.zeros(2), 0.0, 64, 0.0).mean(1)
    coordinates = torch.arange(64) - 31.5
    found = [
        torch.stack([(f.sum(0) * coordinates).sum(), (f.sum(1) * coordinates).sum()]) / f.sum()
        for f in frames
    ]
    return found[0], found[1]


def test_zooming_in_moves_content_outwards() -> None:
    first, last = dot_film(Motion(zoom=0.5), (0.25, 0.0))
    assert float(last[0]) > float(first[0]) * 1.2


def test_rolling_clockwise_turns_content_counter_clockwise() -> None:
    first, last = dot_film(Motion(roll=math.radians(30)), (0.25, 0.0))
    # Counter-clockwise on the screen: what lies to the right goes up, and up is smaller y.
    assert float(last[1]) < float(first[1]) - 4


def test_path_keeps_the_promised_mean_rates() -> None:
    motion = Motion(pan=0.3, zoom=-0.2)
    for seed in range(8):
        pose = camera_path(np.random.default_rng(seed), replace(motion, zoom=0.0), 2.0).at(
            np.array([0.0, 2.0])
        )
        assert pose[1, 0] - pose[0, 0] == pytest.approx(0.6, abs=0.02)
        pose = camera_path(np.random.default_rng(seed), motion, 2.0).at(np.array([0.0, 2.0]))
        assert pose[1, 2] - pose[0, 2] == pytest.approx(-0.4, abs=0.02)


def test_shake_has_the_promised_size() -> None:
    path = camera_path(np.random.default_rng(1), Motion(shake=0.02), 2.0)
    moments = np.linspace(0, 2, 192, endpoint=False)
    offsets = path.at(moments)[:, :2]
    assert np.sqrt(((offsets - offsets.mean(0)) ** 2).sum(1).mean()) == pytest.approx(0.02, rel=0.1)


def test_classes_follow_the_bands() -> None:
    none, move = BANDS["pan"]
    assert three_way(none, none, move) == 1
    assert three_way((none + move) / 2, none, move) == AMBIGUOUS
    assert three_way(move, none, move) == 2
    assert three_way(-move, none, move) == 0
    assert Motion().classes() == (1, 1, 1, 1, 0, 0)
    assert Motion(shake=0.05, cut=0.5).classes() == (1, 1, 1, 1, 1, 1)
    assert Motion(shake=sum(BANDS["shake"]) / 2).classes()[4] == AMBIGUOUS


def test_same_seed_same_clip_other_index_other_clip(plates: list[Plate]) -> None:
    clips = Clips(seed=9, side=32)
    one, again = make_clip(clips, plates, 5), make_clip(clips, plates, 5)
    assert one.motion == again.motion
    assert torch.equal(one.frames, again.frames)
    assert not torch.equal(one.frames, make_clip(clips, plates, 6).frames)
    assert one.frames.shape == (32, 3, 32, 32)
    assert one.frames.dtype == torch.uint8


def test_every_class_is_drawn() -> None:
    rng = np.random.default_rng(0)
    labels = torch.tensor([draw_motion(rng).classes() for _ in range(400)])
    for column, names in zip(labels.T, HEADS.values(), strict=True):
        for value in range(len(names)):
            assert (column == value).float().mean() > 0.1


def test_mirror_swaps_pan_and_roll_and_nothing_else() -> None:
    motion = Motion(pan=0.3, tilt=0.2, zoom=-0.3, roll=0.3, shake=0.05, cut=0.4)
    labels = torch.tensor([motion.classes()])
    assert swap(labels, "pan", "roll").tolist() == [list(motion.mirrored().classes())]
    unclear = torch.full((1, len(HEADS)), AMBIGUOUS)
    assert torch.equal(swap(unclear, *HEADS), unclear)


def test_a_mirrored_clip_is_measured_as_labelled(plates: list[Plate]) -> None:
    frames = clean_film(plates, Motion(pan=0.4)).flip(-1)
    total = sum(shift_between(a, b)[0] for a, b in itertools.pairwise(frames))
    assert total > 0  # the mirrored clip pans to the left: its content moves right


def test_symmetries_turn_labels_flow_and_rates_alike(plates: list[Plate]) -> None:
    batch = Batch.of([make_clip(Clips(seed=2, side=32), plates, i) for i in range(16)])
    turned = random_symmetry(batch, torch.Generator().manual_seed(0))
    assert turned.clips.float().mean() == pytest.approx(batch.clips.float().mean())
    assert torch.equal(turned.labels[:, 4:], batch.labels[:, 4:])
    assert not torch.equal(turned.labels, batch.labels)
    for column in range(4):  # a clear move's rate has the sign that its class says, mirrored or not
        clear = turned.labels[:, column] != AMBIGUOUS
        moves = clear & (turned.labels[:, column] != 1)
        assert torch.equal(turned.rates[moves, column].sign(), turned.labels[moves, column].float() - 1)
    # Content moves left where the camera pans right: the mean flow turns with the rate.
    panning = batch.rates[:, 0].abs() > 0.6
    flow, rates = turned.flow[panning].mean((1, 2, 3))[:, 0], turned.rates[panning, 0]
    assert torch.equal(flow.sign(), -rates.sign())


@pytest.mark.parametrize(
    ("motion", "expected"),
    [
        (Motion(pan=0.3), (-0.6, 0.0)),  # in half pictures per second
        (Motion(tilt=0.3), (0.0, 0.6)),
        (Motion(zoom=0.3), (0.75 * 0.3, 0.0)),  # at the right edge: outwards
        (Motion(roll=0.3), (0.0, -0.75 * 0.3)),  # at the right edge: upwards
    ],
)
def test_flow_is_what_the_content_does(motion: Motion, expected: tuple[float, float]) -> None:
    moments = np.arange(16) / 8
    path = camera_path(np.random.default_rng(0), motion, 2.0)
    flow = picture_flow(picture_matrices(path.at(moments), 1.0), moments, 16, (2, 4, 4))
    right_edge = flow[:, :, 3].mean((0, 1))
    assert right_edge.tolist() == pytest.approx(expected, abs=0.07)


def test_ambiguous_moves_do_not_count() -> None:
    labels = torch.tensor([[1, 1, 1, 1, 0, 0], [AMBIGUOUS] * 5 + [1]])
    logits = torch.randn(2, sum(CLASSES))
    changed = logits.clone()
    changed[1, : sum(CLASSES[:5])] += 3 * torch.randn(sum(CLASSES[:5]))
    assert loss_of(logits, labels) == pytest.approx(float(loss_of(changed, labels)), abs=1e-5)
    assert balanced_accuracy(labels, labels) == dict.fromkeys(HEADS, 1.0)


def test_the_balanced_loss_weighs_classes_alike() -> None:
    """Three easy clips of one class count as much as one hard clip of the other."""
    labels = torch.tensor([[1, 1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 1, 0, 1]])
    logits = torch.zeros(4, sum(CLASSES))
    logits[:, -2] = 2.0  # says no cut, which is wrong once
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    others = 4 * np.log(3) + np.log(2)
    assert float(loss_of(logits, labels)) == pytest.approx(others + (right + wrong) / 2, rel=1e-5)


def test_ridge_finds_a_weighted_line() -> None:
    inputs = torch.randn(200, 3)
    truth = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
    targets = inputs @ truth + torch.tensor([4.0, -1.0])
    targets[100:] = 99.0  # of no weight
    weights = torch.cat([torch.ones(100), torch.zeros(100)])
    weight, bias = ridge(inputs, targets, weights, 1e-6)
    assert torch.allclose(weight, truth, atol=1e-3)
    assert torch.allclose(bias, torch.tensor([4.0, -1.0]), atol=1e-3)


def test_the_model_starts_with_motion() -> None:
    """Before the first step, a few clips of one texture tell left from right, in the tokens and at the head."""
    plates = make_plates(0, textures=6, photographs=())
    settings = Clips(seed=4, side=24, harm=0.0, objects=0.0, easiest=0.5, single=1.0)
    batch = Batch.of([make_clip(settings, plates, i) for i in range(160)])
    config = ViViTConfig(
        frames=32,
        size=24,
        tubelet=(8, 6, 6),
        width=96,
        depth=2,
        heads=4,
        hidden=192,
        pool="mean",
        classes=CLASSES,
    )
    model = ViViT(config, torch.Generator().manual_seed(0))
    start_from_motion(model, Batch(*(part[:120] for part in batch)), torch.Generator().manual_seed(0))
    assert model.encoder is not None
    seen: list[Tensor] = []
    model.encoder.blocks[0].register_forward_hook(lambda _, __, tokens: seen.append(tokens))
    with torch.no_grad():
        logits = model(as_input(batch.clips[120:]))
    flow = seen[0][..., list(Features.of(96).flow)]
    truth = batch.flow[120:].flatten(1, 3)
    for axis in (0, 1):
        together = torch.stack([flow[..., axis].mean(1), truth[..., axis].mean(1)])
        assert float(torch.corrcoef(together)[0, 1]) > 0.6
    right_minus_left = logits[:, 2] - logits[:, 0]
    assert float(torch.corrcoef(torch.stack([right_minus_left, batch.rates[120:, 0]]))[0, 1]) > 0.4


def test_a_seed_says_what_every_layer_starts_from() -> None:
    recipe, found = recipe_module.CameraMotion(), list[list[torch.Tensor]]()
    for number in range(2):
        torch.manual_seed(number)
        found.append(recipe_module.Trainer(recipe).parameters)
    assert all(map(torch.equal, *found))


def test_the_recipe_trains_resumes_and_packs(
    tmp_path, monkeypatch: pytest.MonkeyPatch, plates: list[Plate]
) -> None:
    def few_plates(seed: int, textures: int, *, validation: bool) -> list[Plate]:
        return plates

    def clips_here(workers: object, start: int, chunk: int, ahead: int):
        while True:
            yield recipe_module.make_clips(start, chunk)
            start += chunk

    class NoWorkers:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    tiny = ViViTConfig(
        frames=32,
        size=24,
        tubelet=(8, 12, 12),
        width=96,
        depth=2,
        heads=4,
        hidden=64,
        pool="mean",
        classes=CLASSES,
    )
    recipe = recipe_module.CameraMotion(
        model=tiny,
        clips=Clips(seed=1, side=24, grid=tiny.grid),
        textures=2,
        steps=2,
        batch=6,
        fresh=2,
        pool=16,
        warmup=1,
        held_out=4,
    )
    recipe_module.WORKER["scenes"] = recipe, plates
    monkeypatch.setattr(recipe_module, "plates_of", few_plates)
    monkeypatch.setattr(recipe_module, "stream", clips_here)
    monkeypatch.setattr(
        recipe_module.multiprocessing,
        "get_context",
        lambda _: type("C", (), {"Pool": lambda *_: NoWorkers()})(),
    )
    model = recipe_module.train(recipe, tmp_path)
    assert all(p.isfinite().all() for p in model.parameters())
    longer = recipe_module.train(replace(recipe, steps=3), tmp_path)
    assert not torch.equal(longer.head.weight, model.head.weight)
    classifier = read_run(tmp_path)
    assert classifier.labels.classes == CLASSES
    assert classifier.view.frames_per_second == 16
