"""`Classifier`: a model, how it must look at a video, and what its outputs mean; loaded, saved and used as one."""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from tubelet.errors import ConfigError, DecodeError, WeightsError
from tubelet.hub import push
from tubelet.labels import Average, Labels
from tubelet.model_folder import read_folder, write_folder
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.models.placing import place, precision_of, twin
from tubelet.models.vivit import ViViT
from tubelet.precision import fastest_precision
from tubelet.prediction import (
    Failure,
    Look,
    Prediction,
    Source,
    clips_of,
    name_of,
    of_windows,
    opened,
    shape_of,
)
from tubelet.video.view import View
from tubelet.weights.report import LoadReport


class Classifier:
    """Weights + `View` + `Labels`.

    Args:
        model: the ViViT.
        view: how it must look at a video.
        labels: what its outputs mean.
        report: what became of every tensor of the file it was loaded from, where it was.
        extra: what else is known of it, such as how it was trained and measured: plain values, which are saved too.

    Raises:
        WeightsError: if the labels do not belong to the model.
        ConfigError: if the model cannot see what the view shows.
    """

    def __init__(
        self,
        model: ViViT,
        view: View,
        labels: Labels,
        report: LoadReport | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if labels.classes != model.config.classes:
            raise WeightsError(
                f"Labels of {labels.classes} classes do not fit a model of {model.config.classes}."
            )
        if view.channels != model.config.channels:
            raise ConfigError(
                f"The view shows {view.channels} channels; the model takes {model.config.channels}."
            )
        model.config.grid_of(view.frames, view.height, view.width)  # refuses what the tubelet does not divide
        self.model = model.eval()
        self.view = view
        self.labels = labels
        self.report = report
        self.extra = dict(extra or {})

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """In what precision the model computes; int8: its blocks do."""
        return precision_of(self.model)

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | Literal["auto"] | None = None
    ) -> Self:
        """Move the model; returns the classifier itself.

        Args:
            device: where it is to compute. None: where it is.
            dtype: in what precision. None: as it is. `"auto"`: bfloat16 where the device has hardware for it, else
                float32; `tubelet.precision.fastest_precision` says which and why. `torch.int8`: the blocks multiply
                by int8 weights, on a CPU (docs/speed.md); there is no way back, and it is not saved.

        Raises:
            ConfigError: for int8 elsewhere than on a CPU with oneDNN, or another use of what is int8.
        """
        where = None if device is None else torch.device(device)
        place(self.model, where, fastest_precision(where or self.device).dtype if dtype == "auto" else dtype)
        return self

    def with_fewer_tokens(
        self, *, merge: float = 0.0, drop: float | None = None, drop_frames: float | None = None
    ) -> Self:
        """A classifier of the same weights, in the same memory, that computes fewer tokens; this one stays as it is.

        For Models 1 and 2. Nothing is trained, and the answers are others: `tubelet evaluate` with the same flags
        tells what is lost, and docs/speed.md what to expect. What `save` writes is the model alone, not this setting.

        Args:
            merge: share of the tokens of a block that become one with their likest, in every block: 0 to 0.5.
            drop: tubelets are not computed that differ by no more than this from the last one computed at their
                place: the mean absolute difference of their values after `View.normalise`. None: all are computed.
            drop_frames: Model 2: the same of all tubelets of a time together. At 0 the answer is the exact one.

        Raises:
            ConfigError: for what cannot be, or not with this model.
        """
        model = twin(self.model)
        model.answer_from(FewerTokens(merge=merge, drop=drop, drop_frames=drop_frames))
        return type(self)(model, self.view, self.labels, self.report, self.extra)

    def predict(self, video: Source, views: str | None = None, *, average: Average = "logits") -> Prediction:
        """What the model says of a video.

        Args:
            video: a file, a folder of images, the bytes of a file, or a `Video`.
            views: temporal x spatial views such as `"4x3"`, which are averaged. None: the view's own.
            average: what of the views is averaged: their logits (official), or their probabilities.

        Raises:
            DecodeError: if the video cannot be read.
            ConfigError: as for `predict_many`.
        """
        outcome = next(iter(self.predict_many([video], views, average=average)))
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def predict_many(
        self,
        videos: Sequence[Source],
        views: str | None = None,
        *,
        average: Average = "logits",
        batch_size: int = 8,
        ahead: int = 2,
        progress: bool = False,
    ) -> Iterator[Prediction | Failure]:
        """Predictions of many videos, in their order; one that cannot be read is a `Failure` in its place.

        Videos are decoded `ahead` of the model, in threads beside it, and go through it in batches of clips.

        Args:
            videos: what `predict` takes.
            views: see `predict`.
            average: see `predict`.
            batch_size: most clips to put through the model at a time.
            ahead: how many videos to decode ahead.
            progress: show a progress bar on standard error.

        Raises:
            ConfigError: for views or an average that cannot be, or that a model which answers for each window does
                not take.
        """
        self.check_asked(views, average)
        if self.view.answers == "window":
            outcomes = (self.predict_windows(video, batch_size) for video in videos)
        else:
            outcomes = self.predict_looks(self.looks(videos, views, ahead), batch_size, average)
        bar = Console(stderr=True)
        yield from track(
            outcomes, "Predicting", len(videos), console=bar, transient=True, disable=not progress
        )

    def check_asked(self, views: str | None = None, average: Average = "logits") -> None:
        """Refuse views, or an average, that cannot be, before any video is opened.

        Raises:
            ConfigError: as for `predict_many`.
        """
        if average != "logits":
            if self.view.answers == "window":
                raise ConfigError(
                    f"This model answers for each window of time; average={average!r} does not apply."
                )
            self.labels.averaged(torch.zeros(1, sum(self.labels.classes)), average)  # refuses other words now
        if views is not None:
            if self.view.answers == "window":
                raise ConfigError(
                    f"This model answers for each window of time; views={views!r} do not apply."
                )
            replace(self.view, views=views)  # refuses what cannot be, before any video is opened

    def predict_looks(
        self, looks: Iterable[Look | Failure], batch_size: int, average: Average = "logits"
    ) -> Iterator[Prediction | Failure]:
        """Put looks through the model, several videos together where their clips are few."""
        waiting: list[Look | Failure] = []
        for look in looks:
            if isinstance(look, Look) and clips_of(waiting) and look.pixels.shape[1:] != shape_of(waiting):
                yield from self.answer(waiting, batch_size, average)
                waiting = []
            waiting.append(look)
            if clips_of(waiting) >= batch_size:
                yield from self.answer(waiting, batch_size, average)
                waiting = []
        yield from self.answer(waiting, batch_size, average)

    def answer(
        self, waiting: Sequence[Look | Failure], batch_size: int, average: Average = "logits"
    ) -> Iterator[Prediction | Failure]:
        """Predictions of looks of one shape, run together; failures in their places."""
        looks = [look for look in waiting if isinstance(look, Look)]
        if looks:
            logits = iter(
                self.run(torch.cat([look.pixels for look in looks]), batch_size).split(
                    [len(look.pixels) for look in looks]
                )
            )
        else:
            logits = iter(())
        for look in waiting:
            if isinstance(look, Failure):
                yield look
            else:
                mean = self.labels.averaged(next(logits), average)
                yield Prediction(look.name, self.labels, mean, look.indices, 0.0, look.duration_seconds)

    def predict_windows(self, source: Source, batch_size: int = 8) -> Prediction | Failure:
        """One prediction for each window of a video, a batch of windows in memory at a time."""
        name = name_of(source)
        found: list[Prediction] = []
        try:
            with opened(source) as video:
                windows = self.view.windows_uint8(video)
                while batch := list(islice(windows, batch_size)):
                    logits = self.run(torch.stack([w.pixels for w in batch]), batch_size)
                    found += [
                        Prediction(
                            name,
                            self.labels,
                            one,
                            torch.from_numpy(w.indices)[None],
                            w.start_seconds,
                            w.end_seconds,
                        )
                        for one, w in zip(logits, batch, strict=True)
                    ]
        except (DecodeError, ConfigError) as error:
            return Failure(name, error)
        return of_windows(found)

    def features(self, video: Source, views: str | None = None, *, batch_size: int = 8) -> Tensor:
        """What the head sees, `(D,)`, averaged over the views. Takes and raises what `predict` does.

        A model that answers for each window of time is shown the views all the same.
        """
        look = self.look(video, views)
        if isinstance(look, Failure):
            raise look.error
        return self.run(look.pixels, batch_size, head=False).mean(dim=0)

    @torch.inference_mode()
    def run(self, pixels: Tensor, batch_size: int = 8, head: bool = True) -> Tensor:
        """Logits (or features) in float32 on the CPU for clips `(V, F, C, H, W)`, at most `batch_size` at a time.

        Clips are float32 as `view.normalise` leaves them, or uint8 as they are before.
        """
        compute = self.model if head else self.model.features
        dtype = self.model.dtype  # of int8 blocks too the pixels are float32
        found: list[Tensor] = []
        for part in pixels.split(batch_size):
            values = part.to(self.device)
            if values.dtype == torch.uint8:
                values = self.view.normalise(values)
            found.append(compute(values.to(dtype)).float().cpu())
        return torch.cat(found)

    def looks(self, videos: Iterable[Source], views: str | None, ahead: int) -> Iterator[Look | Failure]:
        """Decode videos in their order, some ahead of the one that is wanted."""
        waiting: deque[Future[Look | Failure]] = deque()
        with ThreadPoolExecutor(max_workers=max(ahead, 1)) as pool:
            for video in videos:
                waiting.append(pool.submit(self.look, video, views))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def look(self, source: Source, views: str | None = None) -> Look | Failure:
        """The clips of one video, as the view wants them."""
        name = name_of(source)
        try:
            with opened(source) as video:
                shown = self.view.test_uint8(video, views)
                return Look(name, shown.pixels, torch.from_numpy(shown.indices), video.duration_seconds)
        except (DecodeError, ConfigError) as error:
            return Failure(name, error)

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> Path:
        """Write `model.safetensors`, `config.json` and a model card, `README.md`, into a folder, made if need be.

        Each file is put in its place only when it is whole. A card that somebody wrote or changed is left alone.
        Adapters (`tubelet.lora`) are saved merged into the weights.

        Args:
            folder: where to.
            extra: further plain values for `config.json` and the card, such as how it was trained and measured.
                None: the classifier's own, which are those of the folder it was loaded from.

        Raises:
            WeightsError: if the folder holds another model, which is not overwritten, or this one computes in int8.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        taken = [name for name in ("config.json", "model.safetensors") if (folder / name).exists()]
        if taken:
            raise WeightsError(f"{folder} already holds {' and '.join(taken)}: save into another folder.")
        return self.write(folder, extra)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        extra: Mapping[str, Any] | None = None,
        private: bool = False,
        message: str = "A Tubelet model",
    ) -> str:
        """Publish on the Hugging Face Hub what `save` writes; `tubelet.load(repo_id)` then finds it.

        `tubelet.hub.push` publishes a folder that was saved before, with a card that you have completed.

        Args:
            repo_id: `owner/name`; made if need be. A card there that somebody wrote or changed is left alone.
            extra: see `save`.
            private: whether a repository that is made now is private.
            message: of the commit.

        Returns:
            The model's address.

        Raises:
            WeightsError: if the Hub cannot be reached or does not take it.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.write(Path(scratch, "model"), extra, repo_id)
            return push(folder, repo_id, private=private, message=message)

    def write(self, folder: Path, extra: Mapping[str, Any] | None = None, place: str | None = None) -> Path:
        """Like `save`, over what is there; for a run that keeps its best model in its own folder.

        `place` is what the card tells `tubelet.load` to find it by; None: the folder's name.
        """
        if self.dtype == torch.int8:
            raise WeightsError(
                "An int8 classifier is not saved: its weights are laid out for this processor. Save the model as it "
                "was loaded, and make it int8 where it is used."
            )
        extra = self.extra if extra is None else extra
        write_folder(folder, self.model, self.view, self.labels, self.report, extra, place)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The classifier that `save` wrote into a folder; `tubelet.load` reads every other format too.

        Raises:
            WeightsError: if the folder holds none, or its parts do not fit together; lists every tensor concerned.
        """
        try:
            return cls(*read_folder(Path(folder)))
        except ConfigError as error:
            raise WeightsError(f"The parts of {folder} do not fit together: {error}") from error
