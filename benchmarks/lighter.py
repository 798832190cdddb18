"""Fewer tokens and low precision on trained models: what is lost on real clips, and what time is won.

`python benchmarks/lighter.py words RUN words.csv --out benchmarks` measures a model of docs/results.md on its
validation and test clips, `python benchmarks/lighter.py volumes RUN FOLDER --out benchmarks` that of the volumes, and
`python benchmarks/lighter.py camera --data ../shared/data --out benchmarks` the camera-motion model on its test set.
Times are of the model alone, eight clips together, all settings in turn.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc
from words import words

import tubelet
from tubelet import Classifier
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import machine_line, spread
from tubelet.benchmarks.turns import ratios, take_turns
from tubelet.data.dataset import ClipDataset
from tubelet.data.folders import Folders
from tubelet.data.source import Listed
from tubelet.evaluation.evaluate import relabelled
from tubelet.recipes.camera_motion.moves import AMBIGUOUS, HEADS
from tubelet.recipes.camera_motion.testset import make_test_set

BATCH = 8
SETTINGS: dict[str, Callable[[Classifier], Classifier]] = {
    "float32, all tokens": lambda c: c,
    "bfloat16": lambda c: c.to(dtype=torch.bfloat16),
    "int8": lambda c: c.to(dtype=torch.int8),
    **{f"merge {share}": lambda c, s=share: c.with_fewer_tokens(merge=s) for share in (0.05, 0.1, 0.2, 0.3)},
    **{f"drop {limit}": lambda c, d=limit: c.with_fewer_tokens(drop=d) for limit in (0.01, 0.02, 0.05, 0.1)},
    **{
        f"drop frames {limit}": lambda c, d=limit: c.with_fewer_tokens(drop_frames=d)
        for limit in (0, 0.01, 0.02, 0.05, 0.07, 0.1)
    },
    "int8, merge 0.1": lambda c: c.to(dtype=torch.int8).with_fewer_tokens(merge=0.1),
}


@dataclass(frozen=True)
class Clips:
    """What is shown, and what is there."""

    pixels: Tensor
    """uint8 `(N, F, C, H, W)`."""
    labels: Tensor
    """`(N, heads)`; below 0: not counted."""


def word_clips(classifier: Classifier, table: Path, split: str) -> Clips:
    """Of a split of the words, as docs/results.md says they are shown."""
    return clips_of(classifier, words(table, 0.28), split)


def clips_of(classifier: Classifier, source: Listed, split: str) -> Clips:
    """The middle clips of a split."""
    samples = source.samples(split)
    labels = relabelled(samples, source.labels, classifier.labels)
    dataset = ClipDataset(samples, classifier.view, views="1x1")
    pixels = torch.cat([dataset.collate([dataset[number]]).pixels for number in range(len(samples))])
    return Clips(pixels, torch.tensor(labels))


def camera_clips(classifier: Classifier, data: Path, per_source: int) -> Clips:
    """The camera-motion test set, for the heads that the model has."""
    clips = make_test_set(data, per_source)
    heads = [list(HEADS).index(head.name) for head in classifier.labels.heads]
    labels = torch.tensor([clip.motion.classes() for clip in clips])[:, heads]
    pixels = torch.stack([classifier.view.prepare(clip.frames) for clip in clips])
    return Clips(pixels, torch.where(labels == AMBIGUOUS, -1, labels))


@dataclass(frozen=True)
class Answers:
    """Of all clips."""

    logits: Tensor
    """`(N, sum(classes))`."""
    classes: Tensor
    """`(N, heads)`."""


def answers(classifier: Classifier, clips: Clips) -> Answers:
    """Of one classifier."""
    logits = classifier.run(clips.pixels, BATCH)
    heads = classifier.labels.split(logits).values()
    return Answers(logits, torch.stack([part.argmax(1) for part in heads], dim=1))


def balanced(answers: Answers, labels: Tensor) -> float:
    """The mean over heads and over the classes of each of the share that is right, in percent."""
    found = answers.classes
    heads: list[Tensor] = []
    for said, truth in zip(found.T, labels.T, strict=True):
        classes = truth[truth >= 0].unique()
        heads.append(torch.stack([(said[truth == c] == c).double().mean() for c in classes]).mean())
    return 100 * float(torch.stack(heads).mean())


def right(answers: Answers, labels: Tensor) -> float:
    """Top-1, in percent."""
    return 100 * float((answers.classes == labels).double().mean())


def area(answers: Answers, labels: Tensor) -> float:
    """The area under the ROC curve of two classes, in percent."""
    margin = answers.logits[:, 1] - answers.logits[:, 0]
    return 100 * float(binary_auroc(margin, labels[:, 0]))


def measure(
    name: str,
    title: str,
    about: str,
    load: Callable[[], Classifier],
    splits: Mapping[str, Clips],
    scores: Mapping[str, Callable[[Answers, Tensor], float]],
) -> Record:
    """All settings: what they score on each split by each measure, and how long they take."""
    begun, machine = time.perf_counter(), machine_line()
    made = {name: make(load()) for name, make in SETTINGS.items() if possible(make, load)}
    found = {
        split: {name: answers(classifier, clips) for name, classifier in made.items()}
        for split, clips in splits.items()
    }
    exact = next(iter(made))
    view = made[exact].view
    pixels = next(iter(splits.values())).pixels
    shown = view.normalise(pixels[:: max(len(pixels) // BATCH, 1)][:BATCH])
    runs = {name: lambda c=classifier: c.run(shown, BATCH) for name, classifier in made.items()}
    seconds = take_turns(runs, budget_seconds=60, least=5)
    scored = {
        split: {
            name: {measure: score(said, splits[split].labels) for measure, score in scores.items()}
            for name, said in names.items()
        }
        for split, names in found.items()
    }
    rows: list[tuple[str, ...]] = []
    for setting in made:
        cells: list[str] = [setting]
        for split in splits:
            for measure, points in scored[split][setting].items():
                change = "" if setting == exact else f" ({points - scored[split][exact][measure]:+.1f})"
                cells.append(f"{points:.1f} %{change}")
            agree = float((found[split][setting].classes == found[split][exact].classes).double().mean())
            cells.append("" if setting == exact else f"{agree:.1%}")
        cells.append("" if setting == exact else spread(ratios(seconds[exact], seconds[setting]), "x"))
        rows.append(tuple(cells))
    columns = ["setting"]
    for split in splits:
        columns += [f"{measure}, {split}" for measure in scores] + ["same answers"]
    return Record(
        name=name, title=title, about=about, columns=(*columns, "times as fast"), rows=rows, machine=machine,
        seconds=time.perf_counter() - begun, measured={"scores": scored, "seconds": seconds},
    )  # fmt: skip


def possible(make: Callable[[Classifier], Classifier], load: Callable[[], Classifier]) -> bool:
    """Whether this machine and model can do it."""
    try:
        make(load())
    except tubelet.ConfigError:
        return False
    return True


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("words", "volumes", "camera"))
    parser.add_argument("run", nargs="?", help="words, volumes: the folder of the run")
    parser.add_argument("clips", nargs="?", type=Path, help="words: words.csv; volumes: the folder of clips")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="camera: of the test set")
    parser.add_argument("--per-source", type=int, default=64)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = "camera-motion" if arguments.what == "camera" else arguments.run
    classifier = tubelet.load(model)
    names = {"val": "validation", "test": "test"}
    scores: dict[str, Callable[[Answers, Tensor], float]] = {"top-1": right}
    if arguments.what == "words":
        splits = {shown: word_clips(classifier, arguments.clips, split) for split, shown in names.items()}
        about = (
            "`python benchmarks/lighter.py words`: lip reading of 51 words (docs/results.md), 600 clips each, in "
            "brackets the points won or lost."
        )
    elif arguments.what == "volumes":
        source = Folders(root=arguments.clips)
        splits = {shown: clips_of(classifier, source, split) for split, shown in names.items()}
        scores = {"AUC": area, **scores}
        about = (
            "`python benchmarks/lighter.py volumes`: shape masks of adrenal glands as slices along three axes "
            "(docs/results.md), 98 to validate and 198 to test, in brackets the points won or lost."
        )
    else:
        splits = {"test set": camera_clips(classifier, arguments.data, arguments.per_source)}
        scores = {"balanced accuracy": balanced}
        about = (
            "`python benchmarks/lighter.py camera`: the model that comes with Tubelet, the mean over its heads, "
            f"{len(next(iter(splits.values())).pixels)} clips of its test set, in brackets the points won or lost."
        )
    shape = "x".join(str(n) for n in classifier.model.config.grid)
    about += (
        f" Its tubelets are {shape} (time, height, width), its width is {classifier.model.config.width}. Times are "
        f"of the model alone, {BATCH} clips together, in turn."
    )
    title = f"Lighter, on {'camera motion' if arguments.what == 'camera' else arguments.what}"
    record = measure(f"lighter_{arguments.what}", title, about, lambda: tubelet.load(model), splits, scores)
    Console(width=160).print(record.table())
    if arguments.out is not None:
        record.write(arguments.out)


if __name__ == "__main__":
    main()
