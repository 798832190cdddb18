"""`probe`: what simple classifiers read off the features of a file. The model itself learns nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.evaluation.bootstrap import Interval
from tubelet.evaluation.metrics import head_intervals, measure_head
from tubelet.evaluation.multi_label import measure_multi
from tubelet.features.attentive import EPOCHS, attentive_logits, fit_attentive
from tubelet.features.division import Task, divided, units_of
from tubelet.features.file import Features, check_comparable
from tubelet.features.linear import GRID, Scale, choose_penalty, fit_linear
from tubelet.features.nearest import neighbour_shares

Method = Literal["knn", "linear", "attentive"]


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How well one probe answers one head. Shares from 0 to 1."""

    method: Method
    head: str
    kind: Literal["single", "multi"]
    videos: int
    """That were measured."""
    trained: int
    """That the probe learned from."""
    top1: float | None = None
    """The best answer is right; of a `single` head."""
    balanced: float | None = None
    """Mean over the classes that occur of the share of their videos that is right; of a `single` head."""
    mean_average_precision: float | None = None
    """Of a `multi` head."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % intervals of these numbers, by bootstrap over the measured videos, or their groups."""
    per_class: dict[str, float | None]
    """Share of a class's videos that is right, or the class's average precision; None for one that does not occur."""
    count_per_class: dict[str, int]
    """Measured videos of each class."""
    frequent: float | None = None
    """What always answering the most frequent class would give; of a `single` head."""
    settings: dict[str, Any]
    """Of the probe, and what chose them."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What the probes found, and on what."""

    train: Features
    test: Features
    split: str | None
    """Which split was measured; None: all of `test`."""
    seed: int
    results: tuple[ProbeResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        made = self.train.description
        return {
            "train": str(self.train.file),
            "test": str(self.test.file),
            "split": self.split,
            "seed": self.seed,
            "model": made.model,
            "model_sha256": made.model_sha256,
            "layer": made.layer,
            "pool": made.pool,
            "views": made.views,
            "unreadable": len(self.train.unreadable)
            + (0 if self.train is self.test else len(self.test.unreadable)),
            "results": [result.to_dict() for result in self.results],
        }

    def write(self, file: Path) -> None:
        """Write it as JSON.

        Raises:
            FileExistsError: if the file is there.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")


def probe(
    train: Features,
    test: Features | None = None,
    *,
    methods: Sequence[Method] | None = None,
    heads: Sequence[str] | None = None,
    split: str = "test",
    k: int = 20,
    temperature: float = 0.07,
    penalties: Sequence[float] = GRID,
    epochs: int = EPOCHS,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> ProbeReport:
    """Measure what features say of the labels: by nearest neighbours, linearly, by attention over tokens.

    Settings are chosen on the split `val` of `train`, or else on a fifth of its training videos (groups stay
    together), which the linear probe then learns from too. The features of the videos that a probe uses are in
    memory.

    Args:
        train: the features to learn from: those of the split `train`, or all (but `val`) where `test` is given.
        test: another file, all of which is measured. None: the split `split` of the same file.
        methods: `knn`, `linear`, `attentive`; None: the first two, and the third where the file has tokens.
        heads: which heads; None: all but those of numbers.
        split: which split is measured where there is one file.
        k: neighbours that vote.
        temperature: of their votes, exp(cosine / temperature).
        penalties: of the linear probe, of which one is chosen: L2, on vectors of deviation 1.
        epochs: of the attentive probe.
        seed: of the division, and of the attentive probe. The same seed gives the same numbers.
        device: where to compute: cpu or cuda.
        progress: show a progress bar on standard error.

    Raises:
        DataError: if the two files are of other models or layers, or there is nothing to learn from or to measure.
        ConfigError: for heads or settings that cannot be.
    """
    check_settings(k, temperature, penalties, epochs)
    if methods is None:
        methods = ("knn", "linear", "attentive") if train.per_token else ("knn", "linear")
    unknown = [method for method in methods if method not in get_args(Method)]
    if unknown or not methods:
        raise ConfigError(f"methods={methods}: {', '.join(get_args(Method))}.")
    wanted = [h.name for h in train.description.heads if h.kind != "number"] if heads is None else heads
    if not wanted:
        raise ConfigError(f"{train.file} has no labels of classes, and probes need some.")
    if test is not None:
        check_comparable(train, test)
    found: list[ProbeResult] = []
    with Progress(console=Console(stderr=True), transient=True, disable=not progress) as bar:
        for name in wanted:
            task = divided(train, test, name, split, seed)
            for method in dict.fromkeys(methods):
                line = bar.add_task(f"{method} {name}", total=epochs if method == "attentive" else None)
                if method == "knn":
                    scores, settings = by_neighbours(task, k, temperature, device)
                elif method == "linear":
                    scores, settings = by_line(task, penalties, device)
                else:
                    scores, settings = by_attention(task, epochs, seed, device, partial(bar.advance, line))
                bar.remove_task(line)
                found.append(measured(task, method, scores, settings))
    return ProbeReport(
        train=train,
        test=test or train,
        split=None if test is not None else split,
        seed=seed,
        results=tuple(found),
    )


def check_settings(k: int, temperature: float, penalties: Sequence[float], epochs: int) -> None:
    """Refuse what makes no sense.

    Raises:
        ConfigError: saying what would.
    """
    if k < 1 or epochs < 1:
        raise ConfigError(f"k={k} and epochs={epochs} must be 1 or more.")
    if not temperature > 0 or not penalties or not all(penalty > 0 for penalty in penalties):
        raise ConfigError(f"temperature={temperature} and penalties={tuple(penalties)} must be above 0.")


def by_neighbours(task: Task, k: int, temperature: float, device: str) -> tuple[Tensor, dict[str, Any]]:
    """Scores `(N, classes)` of what is measured. Nothing is chosen, so all training videos are known."""
    name = task.head.name
    known = task.learn if task.own_split else task.learn | task.choose
    shares = neighbour_shares(
        task.train.vectors(known).to(device),
        task.train.targets(name, known).to(device),
        task.test.vectors(task.measure).to(device),
        k,
        temperature,
    )
    return shares.cpu(), {"k": k, "temperature": temperature, "trained": int(known.sum())}


def by_line(task: Task, penalties: Sequence[float], device: str) -> tuple[Tensor, dict[str, Any]]:
    """Logits `(N, classes)` of what is measured, and the penalty."""
    name = task.head.name
    vectors = task.train.vectors(task.learn).to(device)
    scale = Scale.of(vectors)
    held = scale.apply(task.train.vectors(task.choose).to(device))
    learned, held_targets = (task.train.targets(name, rows).to(device) for rows in (task.learn, task.choose))
    kind = task.head.kind
    chosen = choose_penalty(scale.apply(vectors), learned, (held, held_targets), kind, penalties)
    fit, trained = chosen.fit, task.learn
    if not task.own_split:  # the videos that chose learn too
        trained = task.learn | task.choose
        vectors = task.train.vectors(trained).to(device)
        scale = Scale.of(vectors)
        fit = fit_linear(
            scale.apply(vectors), task.train.targets(name, trained).to(device), kind, fit.penalty
        )
    logits = fit.logits(scale.apply(task.test.vectors(task.measure).to(device)))
    return logits.cpu(), {
        "penalty": fit.penalty,
        "losses": {f"{penalty:g}": loss for penalty, loss in chosen.losses.items()},
        "slope": fit.slope,
        "trained": int(trained.sum()),
    }


def by_attention(
    task: Task, epochs: int, seed: int, device: str, advance: Callable[[], None]
) -> tuple[Tensor, dict[str, Any]]:
    """Logits `(N, classes)` of what is measured, and the epoch."""
    name = task.head.name
    learned, held = (task.train.tokens(rows).to(device) for rows in (task.learn, task.choose))
    fitted, epoch, loss = fit_attentive(
        learned,
        task.train.targets(name, task.learn).to(device),
        (held, task.train.targets(name, task.choose).to(device)),
        task.head.kind,
        epochs=epochs,
        seed=seed,
        advance=advance,
    )
    logits = attentive_logits(fitted, task.test.tokens(task.measure).to(device))
    return logits.cpu(), {
        "epoch": epoch,
        "epochs": epochs,
        "loss": loss,
        "trained": int(task.learn.sum()),
    }


def measured(task: Task, method: Method, scores: Tensor, settings: dict[str, Any]) -> ProbeResult:
    """What scores `(N, classes)` of a probe are worth."""
    head = task.head
    target = task.test.targets(head.name, task.measure)
    units = units_of(task.test, task.measure)
    trained = settings.pop("trained")
    if head.kind == "multi":
        multi = measure_multi(head.name, head.classes, scores, target, units)
        return ProbeResult(
            method=method,
            head=head.name,
            kind="multi",
            videos=len(target),
            trained=trained,
            mean_average_precision=multi.mean_average_precision,
            intervals=multi.intervals,
            per_class=multi.per_class,
            count_per_class=multi.count_per_class,
            settings=settings,
        )
    classes = target.argmax(dim=1)
    found = measure_head(head.name, head.classes, scores, classes)
    intervals = head_intervals(scores, classes, units)
    return ProbeResult(
        method=method,
        head=head.name,
        kind="single",
        videos=len(target),
        trained=trained,
        top1=found.top1,
        balanced=found.balanced,
        intervals={name: intervals[name] for name in ("top1", "balanced") if name in intervals},
        per_class=found.per_class,
        count_per_class=found.count_per_class,
        frequent=found.frequent,
        settings=settings,
    )
