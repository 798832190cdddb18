"""Sanity before hours: what is wrong with a run, seen in a minute, before it starts or after it ended."""

import json
import math
import os
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tubelet.classifier import Classifier
from tubelet.data.dataset import Batch, ClipDataset
from tubelet.data.source import Sample, Source
from tubelet.errors import DataError, DecodeError
from tubelet.evaluation.evaluate import evaluate
from tubelet.labels import Labels
from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer, Train
from tubelet.training.folder import LOG
from tubelet.training.loss import constant_loss, objective, prior_entropy, verdict
from tubelet.training.mirror import handed
from tubelet.training.optimizer import build_optimizer
from tubelet.training.prepare import build_model
from tubelet.training.step import Learning, Step, groups_of
from tubelet.video import resizing

State = Literal["good", "look", "bad", "not yet"]

CHANGES = 0.3
"""Share of the variance of frame vectors that is within clips, below which the doctor says so."""
CLIPS = 200
"""Validation clips that are shown in order and shuffled, at most."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question about a run."""

    name: str
    state: State
    """`look`: not wrong by itself."""
    found: str
    """What was measured."""
    advice: str = ""
    """What to do, where something is to be done."""


@dataclass(frozen=True)
class Some:
    """A part of a source: some samples of one split, evenly spread."""

    source: Source
    split: str
    count: int

    @property
    def labels(self) -> Labels:
        """Of the whole."""
        return self.source.labels

    @property
    def splits(self) -> tuple[str, ...]:
        """The one."""
        return (self.split,)

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples."""
        assert split == self.split
        return spread(self.source.samples(split), self.count)


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of them, evenly spread."""
    chosen = {round(place) for place in torch.linspace(0, len(samples) - 1, count).tolist()}
    return [samples[place] for place in sorted(chosen)]


def examine(run: Train, seconds: float = 20.0) -> list[Check]:
    """Ask everything about a run. Its folder is read, never written.

    Args:
        run: one that has not begun, is under way, or is done.
        seconds: how long one batch may be learned, at most.

    Raises:
        DataError: if the data are not what they say, or no training clip can be read.
    """
    device = torch.device(
        run.device if run.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    )
    checks = [leaks(run.data), mirror_images(run)]
    batch, decoding = training_batch(run)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        model = build_model(run)[0].to(device)
        inputs = run.view.finish(batch.pixels.to(device), batch.colour)
        targets = batch.targets.to(device)
        checks += [first_loss(run, model, inputs, targets), *what_changes(run, model, inputs)]
        over_fitted, computing = over_fit(run, model, inputs, targets, seconds)
    checks += [over_fitted, cost(run, decoding, computing, device), passes_prior(run), uses_time(run)]
    return checks


def leaks(data: Source) -> Check:
    """Whether a file, or a group, is in two splits."""
    places: dict[str, set[str]] = {}
    for split in data.splits:
        for sample in data.samples(split):
            file = sample.path if sample.stored is None else f"{sample.stored.file}:{sample.path}"
            for what in (f"file {file}", *([] if sample.group is None else [f"group {sample.group}"])):
                places.setdefault(what, set()).add(split)
    torn = [f"{what} ({', '.join(sorted(splits))})" for what, splits in places.items() if len(splits) > 1]
    name = "no label leak"
    if not torn:
        return Check(name=name, state="good", found="no file and no group is in two splits")
    shown = "; ".join(torn[:5]) + (" ..." if len(torn) > 5 else "")
    return Check(
        name=name,
        state="bad",
        found=f"{len(torn)} in more than one split: {shown}",
        advice="Divide by file or by group: what is measured on them is not what new videos give. `tubelet check` "
        "finds copies under other names too.",
    )


def mirror_images(run: Train) -> Check:
    """Whether clips are mirrored whose classes say left or right."""
    wrong = handed(run.data.labels, run.flip_swaps) if run.view.flip else None
    if wrong is None:
        return Check(name="mirror images", state="good", found="no class is given a wrong name by them")
    found, advice = wrong.split(": ", 1)
    return Check(name="mirror images", state="look", found=found, advice=advice)


def training_batch(run: Train) -> tuple[Batch, float]:
    """Some training clips as the view shows them, and the seconds that each took."""
    samples = spread(run.data.samples("train"), min(max(run.batch_size // run.replicas, 4), 16))
    dataset = ClipDataset(samples, run.view, seed=run.seed, labels=run.data.labels)
    began = time.monotonic()
    clips = [dataset[number] for number in range(len(samples))]
    each = (time.monotonic() - began) / len(samples)
    batch = dataset.collate(clips)
    if not batch.indices:
        raise DataError(f"None of {len(samples)} training clips can be read: {batch.errors[0][1]}")
    return batch, each


@torch.no_grad()
def first_loss(run: Train, model: ViViT, inputs: Tensor, targets: Tensor) -> Check:
    """Whether the first loss is that of knowing nothing."""
    labels, name = run.data.labels, "first loss"
    logits = model.eval()(inputs)
    loss, wanted = (float(objective(said, targets, labels)) for said in (logits, torch.zeros_like(logits)))
    found = f"{loss:.3f} on {len(inputs)} clips; outputs of 0 give {wanted:.3f}"
    if loss < 1.2 * wanted + 0.05:
        return Check(name=name, state="good", found=found)
    return Check(
        name=name,
        state="bad",
        found=found,
        advice="The model is sure and wrong before it learned anything: a new head starts at zero. Look at what it "
        "starts from, at the order of its classes, and at the values that its view makes.",
    )


@torch.no_grad()
def what_changes(run: Train, model: ViViT, inputs: Tensor) -> list[Check]:
    """Of a Model 2 with a start: how much of its frame vectors changes within a clip. Of other models nothing."""
    if run.init is None or model.temporal is None or run.model.centre_frames:
        return []
    vectors = model.eval().frame_vectors(inputs)
    within = vectors - vectors.mean(dim=1, keepdim=True)
    share = float(within.square().mean() / (vectors - vectors.mean(dim=(0, 1))).square().mean())
    found = f"{share:.0%} of the variance of the frame vectors is within the clips, the rest tells the clips apart"
    if share >= CHANGES:
        return [Check(name="what changes", state="good", found=found)]
    advice = (
        "Most of what the temporal encoder gets stays the same over a clip. Where the classes are motions, "
        "--model.centre-frames takes it off (lip reading learned several times faster); where they are things and "
        "scenes, keep it."
    )
    return [Check(name="what changes", state="look", found=found, advice=advice)]


def over_fit(
    run: Train, model: ViViT, inputs: Tensor, targets: Tensor, seconds: float
) -> tuple[Check, float]:
    """Whether one batch can be learned by heart, and the seconds that a clip of a step takes."""
    labels, name = run.data.labels, "one batch"
    model.requires_grad_(True)
    settings = Optimizer(lr=1e-3 if run.model.width <= 384 else 1e-4, weight_decay=0.0)
    learning = Learning(
        labels=labels,
        optimizer=settings,
        seed=run.seed,
        autocast=None if run.precision == "fp16" else run.autocast,
    )
    step = Step(model.eval(), model, build_optimizer(model, settings), learning)
    prior = batch_entropy(targets, labels)
    began, loss, number = time.monotonic(), math.inf, 0
    while number < 3 or time.monotonic() - began < seconds:
        (said,) = step(number, groups_of(inputs, targets, len(inputs)), 1)
        loss, number = said.loss, number + 1
        if loss < 0.1 * prior:
            break
    each = (time.monotonic() - began) / number / len(inputs)
    found = f"loss {loss:.3f} after {number} steps on the same {len(inputs)} clips; its labels alone give {prior:.3f}"
    if loss < 0.3 * prior:
        return Check(name=name, state="good", found=found), each
    if prior == 0:
        return Check(name=name, state="look", found=found, advice="All clips drawn have one label."), each
    advice = (
        "A model that cannot learn these few clips by heart will not learn the rest: look at the clips as the view "
        "shows them, and whether their labels can be seen there."
        if number >= 50
        else "Too few steps to tell: give it more time with --seconds, or a GPU."
    )
    return Check(name=name, state="bad" if number >= 50 else "look", found=found, advice=advice), each


def batch_entropy(targets: Tensor, labels: Labels) -> float:
    """`prior_entropy` of the labels of a batch alone, `(B, sum(classes))`."""
    said = zip(labels.heads, labels.split(targets).values(), strict=True)
    parts = [constant_loss(head, part[~part.isnan().any(dim=-1)]) for head, part in said]
    return sum(parts) / len(parts)


def cost(run: Train, decoding: float, computing: float, device: torch.device) -> Check:
    """Throughput, memory, and the time of the whole run."""
    clips = len(run.data.samples("train")) * run.clips_per_video
    held = len(run.data.samples("val"))
    loading = 0.0 if run.keep_decoded else decoding / max(run.workers, 1)
    each = max(loading, computing) if run.workers else loading + computing
    total = run.on_videos * (clips * each + held * max(loading, computing / 3))
    if device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the GPU's memory"
    else:
        memory = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of memory"
    kept = decoded_bytes(run) if run.keep_decoded else 0.0
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    slow = loading > 2 * computing
    held_clips = f", {kept / 2**30:.1f} GiB more for decoded clips" if kept else ""
    found = (
        f"{1 / max(each, 1e-9):.1f} clips a second (decoding {1 / decoding:.1f} a worker, learning "
        f"{1 / computing:.1f}); {memory}{held_clips}; "
        f"{run.on_videos} epochs of {clips} clips take about {words(total)}"
    )
    quicker = "" if resizing.compiled() else ", pip install 'tubelet[fast]'"
    advice = (
        f"Decoding is the slower part: more --workers, --keep-decoded, smaller files{quicker}."
        if slow
        else ""
    )
    if kept > installed / 2:
        advice = f"The machine has {installed / 2**30:.0f} GiB: do not keep decoded clips."
    return Check(name="time and memory", state="look" if advice else "good", found=found, advice=advice)


def decoded_bytes(run: Train) -> float:
    """What `keep_decoded` takes in the end, by a few of the clips: every worker comes to see them all."""
    samples = [sample for split in ("train", "val") for sample in run.data.samples(split)]
    sizes: list[int] = []
    for sample in spread(samples, 8):
        with suppress(DecodeError), sample.open() as video:
            sizes.append(len(video) * 3 * video.height * video.width)
    return max(run.workers, 1) * len(samples) * sum(sizes) / max(len(sizes), 1)


def words(seconds: float) -> str:
    """A time in a unit that one can feel."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def passes_prior(run: Train) -> Check:
    """Whether the training loss has fallen below what the class frequencies alone give, by the log."""
    name, log = "learns from the pixels", run.out / LOG
    losses: list[float] = []
    if log.is_file():
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
        losses = [record["train_loss"] for record in records if record["event"] == "epoch"]
    prior = prior_entropy(run.data.samples("train"), run.data.labels)
    if not losses:
        return Check(
            name=name,
            state="not yet",
            found=f"no epoch is done; the loss is to fall below {prior:.3f}, which the class frequencies alone give",
        )
    found = (
        f"training loss {losses[-1]:.3f} after {len(losses)} epochs; the class frequencies give {prior:.3f}"
    )
    warning = verdict(losses[-1], prior)
    return Check(name=name, state="bad" if warning else "good", found=found, advice=warning or "")


def uses_time(run: Train) -> Check:
    """Whether the best model so far is worse when the frames of each clip are shuffled."""
    name = "uses time"
    if not (run.out / "config.json").is_file():
        return Check(name=name, state="not yet", found="no epoch is done")
    if any(head.kind != "single" for head in run.data.labels.heads):
        return Check(
            name=name, state="not yet", found="only measured where every head has one class for a clip"
        )
    classifier = Classifier.load(run.out)
    part = Some(run.data, "val", min(CLIPS, len(run.data.samples("val"))))
    plain, shuffled = (
        evaluate(classifier, part, "val", "1x1", shuffle_frames=shuffle, progress=False)
        for shuffle in (False, True)
    )
    found = f"top-1 {plain.top1:.1%} on {plain.videos} clips, {shuffled.top1:.1%} with their frames shuffled"
    if plain.top1 - shuffled.top1 >= 0.02:
        return Check(name=name, state="good", found=found)
    return Check(
        name=name,
        state="look",
        found=found,
        advice="The order of the frames does not matter to it. Either single frames show the classes (then an image "
        "model does as well), or it has not learned to look at motion yet.",
    )
