"""Probes: equal to their definitions, right where the features say it, at chance where they do not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.features.made import CLASSES, clouds, write
from tubelet.errors import ConfigError, DataError
from tubelet.features import nearest
from tubelet.features.division import divided
from tubelet.features.file import read_features
from tubelet.features.linear import Scale, choose_penalty, fit_linear, mean_loss
from tubelet.features.nearest import neighbour_shares
from tubelet.features.probe import probe
from tubelet.labels import Head, Kind


def test_neighbours_against_every_pair(monkeypatch: pytest.MonkeyPatch):
    """One by one, as it is defined; some at a time is the same."""
    generator = torch.Generator().manual_seed(0)
    known, asked = (torch.randn(n, 6, generator=generator) for n in (40, 15))
    classes = torch.randint(0, 4, (40,), generator=generator)
    targets = torch.nn.functional.one_hot(classes, 4).float()
    found = neighbour_shares(known, targets, asked, k=7, temperature=0.1)
    for vector, shares in zip(asked, found, strict=True):
        cosines = [float(vector @ other / (vector.norm() * other.norm())) for other in known]
        best = sorted(range(40), key=lambda i: -cosines[i])[:7]
        votes = [0.0] * 4
        for i in best:
            votes[int(classes[i])] += float(np.exp(cosines[i] / 0.1))
        torch.testing.assert_close(shares, torch.tensor(votes) / sum(votes), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(nearest, "AT_A_TIME", 100)
    torch.testing.assert_close(neighbour_shares(known, targets, asked, k=7, temperature=0.1), found)
    everyone = neighbour_shares(known, targets, asked, k=1000, temperature=1e6)
    torch.testing.assert_close(everyone, targets.mean(dim=0).expand(15, -1), rtol=1e-4, atol=1e-4)


def gradient(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor, penalty: float, kind: Kind) -> Tensor:
    """By the formula, not by the code: X^T (p - y) / N + penalty W."""
    logits = x @ weight + bias
    p = logits.sigmoid() if kind == "multi" else logits.softmax(dim=1)
    return torch.cat(((x.T @ (p - y) / len(x) + penalty * weight), (p - y).mean(dim=0)[None]))


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_the_linear_probe_is_at_the_optimum(kind: Kind, penalty: float):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 20, generator=generator, dtype=torch.float64)
    if kind == "single":
        y = torch.nn.functional.one_hot(torch.randint(0, 3, (60,), generator=generator), 3).double()
    else:
        y = torch.randint(0, 2, (60, 3), generator=generator).double()
    fit = fit_linear(x, y, kind, penalty)
    assert float(gradient(fit.weight, fit.bias, x, y, penalty, kind).abs().max()) < 2e-6
    assert fit.slope < 2e-6
    elsewhere = fit_linear(x, y, kind, penalty, fit_linear(x, y, kind, 10.0))
    torch.testing.assert_close(elsewhere.weight, fit.weight, rtol=1e-3, atol=1e-5)  # there is one optimum

    def objective(weight: Tensor) -> float:
        return float(mean_loss(x @ weight + fit.bias, y, kind) + penalty / 2 * weight.square().sum())

    least = objective(fit.weight)
    for _ in range(5):
        aside = fit.weight + 1e-2 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
        assert objective(aside) > least


def test_the_penalty_is_the_one_of_the_least_loss_on_what_chooses():
    generator = torch.Generator().manual_seed(0)
    x, held = (torch.randn(n, 30, generator=generator) for n in (40, 200))
    direction = torch.randn(30, 2, generator=generator)

    def said(vectors: Tensor) -> Tensor:
        noise = 4 * torch.randn(len(vectors), 2, generator=generator)
        return torch.nn.functional.one_hot((vectors @ direction + noise).argmax(dim=1), 2).float()

    y, wanted = said(x), said(held)
    chosen = choose_penalty(x, y, (held, wanted), "single")
    for penalty, loss in chosen.losses.items():
        logits = fit_linear(x, y, "single", penalty).logits(held)
        assert loss == pytest.approx(float(mean_loss(logits, wanted.double(), "single")), rel=2e-3)
    assert chosen.fit.penalty == min(chosen.losses, key=lambda p: chosen.losses[p])
    assert chosen.fit.penalty > 1e-3, "noise wants a strong one"


def test_scale():
    vectors = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert torch.equal(Scale.of(vectors).apply(vectors), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))


def test_clouds_are_told_apart_and_noise_is_not(tmp_path: Path):
    report = probe(clouds(tmp_path / "c.parquet"), progress=False)
    assert [result.method for result in report.results] == ["knn", "linear"]
    for result in report.results:
        assert result.top1 is not None
        assert result.top1 > 0.9
        assert result.frequent is not None
        assert result.frequent < 0.5
        interval = result.intervals["top1"]
        assert interval.low <= result.top1 <= interval.high
        assert interval.low > result.frequent
        assert (result.trained, result.videos) == (120, 60)
        assert result.balanced == pytest.approx(
            np.mean([v for v in result.per_class.values() if v is not None])
        )
    noise = probe(clouds(tmp_path / "n.parquet", distance=0.0, test=300), progress=False)
    for result in noise.results:
        assert result.intervals["top1"].low < 0.4


def test_two_runs_say_the_same_and_json_has_it_all(tmp_path: Path):
    features = clouds(tmp_path / "c.parquet")
    first, second = (probe(features, progress=False).to_dict() for _ in range(2))
    assert first == second
    report = probe(features, methods=["linear"], progress=False)
    report.write(tmp_path / "out" / "probe.json")
    said = json.loads((tmp_path / "out/probe.json").read_text())
    assert said == report.to_dict()
    assert said["results"][0]["settings"]["slope"] < 1e-5
    with pytest.raises(FileExistsError):
        report.write(tmp_path / "out" / "probe.json")


def tokens_of_one_kind(file: Path, count: int = 260) -> tuple[Tensor, Tensor]:
    """One of 12 tokens, at any place, says the class by its second half; the others shout at random in it."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, count)
    tokens = rng.normal(size=(count, 1, 12, 16)).astype(np.float32)
    tokens[..., 8:] = 3 * np.sign(tokens[..., 8:])
    marks = rng.normal(size=(3, 8)) * 2
    for number, c in enumerate(classes):
        place = rng.integers(12)
        tokens[number, 0, place, :8] = 4.0
        tokens[number, 0, place, 8:] = marks[c]
    splits = ["train"] * (count - 110) + ["val"] * 50 + ["test"] * 60
    write(file, tokens, [(int(c),) for c in classes], splits)
    return torch.from_numpy(tokens), torch.from_numpy(classes)


def test_attention_finds_the_token_that_the_mean_drowns(tmp_path: Path):
    tokens_of_one_kind(tmp_path / "t.parquet")
    features = read_features(tmp_path / "t.parquet")
    knn, linear, attentive = probe(features, epochs=40, progress=False).results
    assert [knn.method, linear.method, attentive.method] == ["knn", "linear", "attentive"]
    assert knn.top1 is not None
    assert linear.top1 is not None
    assert attentive.top1 is not None
    assert attentive.top1 > 0.7
    assert max(knn.top1, linear.top1) < attentive.top1 - 0.1
    again = probe(features, methods=["attentive"], epochs=40, progress=False).results[0]
    assert again == attentive, "the same seed, the same numbers"
    other = probe(features, methods=["attentive"], epochs=2, seed=1, progress=False).results[0]
    assert other.settings["loss"] != attentive.settings["loss"]


def test_several_classes_at_once(tmp_path: Path):
    """Mean average precision: high for a class that the features say, chance for one that they do not."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 6)).astype(np.float32)
    held = np.stack((vectors[:, 0] > 0, vectors[:, 1] > 0, rng.random(300) > 0.5), axis=1)
    head = (Head("what", ("a", "b", "noise"), "multi"), Head("much", ("much",), "number"))
    labels = [(tuple(float(c) for c in np.flatnonzero(row)), (1.0,)) for row in held]
    features = write(tmp_path / "m.parquet", vectors, labels, ["train"] * 200 + ["test"] * 100, head)
    knn, linear = probe(features, progress=False).results
    assert (knn.head, linear.head, linear.kind) == ("what", "what", "multi")
    for result, least in ((knn, 0.8), (linear, 0.95)):
        assert result.top1 is None
        assert result.per_class["a"] is not None
        assert result.per_class["a"] > least
        assert result.per_class["noise"] is not None
        assert result.per_class["noise"] < 0.7
        assert "mean_average_precision" in result.intervals
    with pytest.raises(ConfigError, match="one of numbers"):
        probe(features, heads=["much"], progress=False)


def test_who_learns_who_chooses_and_who_is_measured(tmp_path: Path):
    features = clouds(tmp_path / "a.parquet")
    task = divided(features, None, "label", "test", 0)
    assert [int(rows.sum()) for rows in (task.learn, task.choose, task.measure)] == [120, 30, 60]
    assert task.own_split
    task = divided(features, None, "label", "val", 0)  # what is measured does not choose
    assert [int(rows.sum()) for rows in (task.learn, task.choose, task.measure)] == [96, 24, 30]
    assert not (task.learn & task.choose).any()
    assert not task.own_split
    result = probe(features, methods=["linear"], split="val", progress=False).results[0]
    assert result.trained == 120, "those who chose learn too"
    other = clouds(tmp_path / "b.parquet", count=20, test=40)
    task = divided(features, other, "label", "test", 0)
    assert [int(rows.sum()) for rows in (task.learn, task.choose, task.measure)] == [180, 30, 90]
    report = probe(features, other, methods=["knn"], progress=False)
    assert (report.split, report.results[0].videos) == (None, 90)


def test_groups_stay_together(tmp_path: Path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    groups = [f"g{number // 3}" for number in range(60)]
    labels = [(number % 3,) for number in range(60)]
    features = write(tmp_path / "g.parquet", vectors, labels, ["train"] * 45 + ["test"] * 15, groups=groups)
    task = divided(features, None, "label", "test", 0)
    learned, chose = ({groups[row] for row in np.flatnonzero(rows)} for rows in (task.learn, task.choose))
    assert learned
    assert chose
    assert not learned & chose


def test_what_cannot_be_probed(tmp_path: Path):
    features = clouds(tmp_path / "a.parquet", count=20, test=10)
    with pytest.raises(ConfigError, match=r"has no head 'speed'\. It has: label"):
        probe(features, heads=["speed"], progress=False)
    with pytest.raises(ConfigError, match="tokens are in a file"):
        probe(features, methods=["attentive"], progress=False)
    with pytest.raises(ConfigError, match="must be 1 or more"):
        probe(features, k=0)
    with pytest.raises(ConfigError, match="above 0"):
        probe(features, temperature=0)
    with pytest.raises(DataError, match=r"no features of the split 'dev'. Splits: train, val, test"):
        probe(features, split="dev", progress=False)
    with pytest.raises(ConfigError, match="what the probes learn from"):
        probe(features, split="train", progress=False)
    wider = clouds(tmp_path / "b.parquet", count=20, width=9, test=10)
    with pytest.raises(DataError, match=r"the shape: \(8,\) there, \(9,\) here"):
        probe(features, wider, progress=False)
    bare = write(tmp_path / "u.parquet", np.zeros((3, 2), np.float32), [()] * 3, [""] * 3, heads=())
    with pytest.raises(ConfigError, match="no labels of classes"):
        probe(bare)
    vectors = np.zeros((20, 8), np.float32)
    others = (Head("label", (*CLASSES, "d")),)
    other = write(tmp_path / "o.parquet", vectors, [(3,)] * 20, ["test"] * 20, others)
    with pytest.raises(DataError, match="know other classes"):
        probe(features, other, progress=False)
