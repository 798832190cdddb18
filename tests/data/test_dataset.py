from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.clips import moving_square, write_clip
from tubelet.data.dataset import Batch, ClipDataset, batches, mix
from tubelet.data.source import UNKNOWN, Sample
from tubelet.labels import Head, Label, Labels
from tubelet.video.view import View

VIEW = View(
    frames=4, stride=1, size=(16, 24), fit="squash", resize=(20, 28), value_range=(0.0, 1.0), flip=True
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("clips")
    files = [write_clip(folder / f"{i}.mp4", moving_square(1, i, frames=12)) for i in range(5)]
    return [Sample(path=file, labels=(i % 2,)) for i, file in enumerate(files)]


def epoch_of(dataset: ClipDataset, epoch: int, workers: int = 0) -> list[Batch]:
    loader, sampler = batches(dataset, 2, shuffle=True, workers=workers)
    sampler.epoch = epoch
    return list(loader)


def test_a_clip_depends_on_seed_epoch_and_index_only(samples: list[Sample]):
    dataset = ClipDataset(samples, VIEW, seed=3)
    first, again = epoch_of(dataset, 1), epoch_of(ClipDataset(samples, VIEW, seed=3), 1)
    assert [b.indices for b in first] == [b.indices for b in again]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert sorted(i for b in first for i in b.indices) == list(range(5))
    assert first[0].pixels.dtype == torch.uint8
    assert first[0].pixels.shape == (2, 4, 3, 16, 24)
    other = [epoch_of(dataset, 0), epoch_of(ClipDataset(samples, VIEW, seed=4), 1)]
    assert all([b.indices for b in o] != [b.indices for b in first] for o in other)
    one, two = (dataset[epoch, 0].pixels for epoch in (0, 1))
    assert one is not None
    assert two is not None
    assert not torch.equal(one, two)


def test_workers_change_nothing(samples: list[Sample]):
    here, there = (epoch_of(ClipDataset(samples, VIEW), 0, workers) for workers in (0, 2))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(here, there, strict=True))


def test_kept_frames_give_the_same_clips_and_are_decoded_once(samples: list[Sample], tmp_path: Path):
    part = [replace(s, start_seconds=0.08, end_seconds=0.4) for s in samples[:2]]
    for views in (None, "2x3"):
        plain, kept = (ClipDataset(part, VIEW, views=views, keep_decoded=k) for k in (False, True))
        for item in ((0, 0), (1, 0), (2, 1), (2, 0)):
            expected, found = plain[item].pixels, kept[item].pixels
            assert expected is not None
            assert found is not None
            assert torch.equal(expected, found)
    file = tmp_path / "gone.mp4"
    file.write_bytes(samples[0].path.read_bytes())
    dataset = ClipDataset([replace(samples[0], path=file)], VIEW, keep_decoded=True)
    assert dataset[0].pixels is not None
    file.unlink()
    assert dataset[1, 0].pixels is not None


def test_an_unreadable_video_is_named_and_takes_no_place(samples: list[Sample], tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    mixed = [samples[0], Sample(path=broken, labels=(1,)), samples[2]]
    dataset = ClipDataset(mixed, VIEW, views="1x1")
    (batch,) = batches(dataset, 3, shuffle=False)[0]
    assert batch.indices == (0, 2)
    assert batch.labels.tolist() == [[0], [0]]
    assert batch.pixels.shape[0] == 2
    ((number, why),) = batch.errors
    assert number == 1
    assert "broken.mp4" in why
    nothing = ClipDataset(mixed[1:2], VIEW).collate([ClipDataset(mixed[1:2], VIEW)[0]])
    assert nothing.indices == ()
    assert nothing.pixels.numel() == 0


def test_the_views_of_a_video_stand_together(samples: list[Sample]):
    dataset = ClipDataset(samples[:2], VIEW, views="2x3")
    (batch,) = batches(dataset, 2, shuffle=False)[0]
    assert batch.views == 6
    assert batch.pixels.shape == (12, 4, 3, 16, 24)
    one = dataset[1].pixels
    assert one is not None
    assert torch.equal(batch.pixels[6:], one)


def test_several_training_clips_of_a_video_are_samples_of_their_own(samples: list[Sample]):
    def turned(row: Sequence[Label]) -> tuple[Label, ...]:
        return tuple(1 - label for label in row if isinstance(label, int))

    view = replace(VIEW, colour=(0.8, 0.1))
    labels = Labels.single(("still", "moving"))
    dataset = ClipDataset(samples, view, clips=3, mirror=turned, labels=labels)
    (batch,) = batches(dataset, 5, shuffle=False)[0]
    assert batch.pixels.shape == (15, 4, 3, 16, 24)
    assert batch.views == 1
    assert batch.indices == tuple(i for i in range(5) for _ in range(3))
    assert batch.colour is not None
    assert batch.colour.shape == (15, 6)
    flipped = [flip for i in range(5) for flip in dataset[i].flipped]
    assert 0 < sum(flipped) < 15
    own = [samples[i].labels[0] for i in batch.indices]
    assert batch.labels[:, 0].tolist() == [(1 - o if f else o) for o, f in zip(own, flipped, strict=True)]  # type: ignore[operator]
    assert batch.targets.argmax(1).tolist() == batch.labels[:, 0].tolist()
    (test,) = batches(
        ClipDataset(samples, view, views="2x1", mirror=turned, labels=labels), 5, shuffle=False
    )[0]
    assert test.labels[:, 0].tolist() == [s.labels[0] for s in samples]  # nothing is mirrored there
    assert test.colour is None
    assert test.views == 2


def test_mixed_seeds_differ():
    seeds = {mix(a, b, c) for a in range(4) for b in range(4) for c in range(4)}
    assert len(seeds) == 64
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_targets_for_heads_of_every_kind(samples: list[Sample]):
    labels = Labels((Head("a", ("x", "y")), Head("b", ("u", "v", "w"), "multi"), Head("c", ("n",), "number")))
    rows = [(1, (0, 2), (0.5,)), (UNKNOWN, (), UNKNOWN)]
    mixed = [replace(s, labels=row) for s, row in zip(samples, rows, strict=False)]
    dataset = ClipDataset(mixed, VIEW, labels=labels)
    (batch,) = batches(dataset, 2, shuffle=False)[0]
    assert batch.labels.tolist() == [[1, UNKNOWN, UNKNOWN], [UNKNOWN] * 3]
    assert torch.equal(batch.targets.nan_to_num(9), torch.tensor([[0, 1, 1, 0, 1, 0.5], [9, 9, 0, 0, 0, 9]]))
    (plain,) = batches(ClipDataset(samples[:2], VIEW), 2, shuffle=False)[0]
    assert plain.targets.shape == (2, 0)
