"""`Classifier`: a model, how it must look at a video, and what its outputs mean; loaded, saved and used as one."""

import json
import math
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet.errors import ConfigError, DecodeError, TubeletError, WeightsError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.decode import Video
from tubelet.video.view import View
from tubelet.weights import scenic
from tubelet.weights.files import read_json, read_safetensors
from tubelet.weights.huggingface import load_huggingface
from tubelet.weights.image_vit import read_image_vit
from tubelet.weights.report import LoadReport, Row, load_strictly
from tubelet.weights.start import Start, start_from_image

FORMAT = "tubelet"
VERSION = 1

Source = str | Path | bytes | Video


@dataclass(frozen=True)
class Prediction:
    """What a model says of one video.

    `logits` `(sum(classes),)` are the mean over the views, as officially tested; `indices` are the frames
    seen, `(clips, frames)`. A model that answers for each window of time fills `windows`, one prediction for
    each with its `start_seconds` and `end_seconds`, and `logits` is the mean over them.
    """

    video: str
    labels: Labels
    logits: Tensor
    indices: Tensor
    start_seconds: float = 0.0
    end_seconds: float | None = None
    windows: tuple["Prediction", ...] = ()

    def probabilities(self, head: int | str = 0) -> Tensor:
        """Probabilities of a head's classes: `(classes,)`."""
        name = self.labels.head(head).name
        return self.labels.probabilities(self.logits)[name]

    def top(self, k: int = 5, head: int | str = 0) -> list[tuple[str, float]]:
        """The k best classes of a head with their probabilities, best first."""
        classes = self.labels.head(head).classes
        best = self.probabilities(head).topk(min(k, len(classes)))
        return [(classes[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain values, ready for JSON: the k best of each head; of each window too, where there are windows."""
        times = {"start_seconds": self.start_seconds, "end_seconds": self.end_seconds}
        heads = {
            h.name: [{"label": n, "probability": p} for n, p in self.top(k, h.name)]
            for h in self.labels.heads
        }
        values: dict[str, Any] = {"video": self.video, **times, "heads": heads}
        if self.windows:
            values["windows"] = [w.to_dict(k) for w in self.windows]
        return values


@dataclass(frozen=True)
class Failure:
    """A video that could not be predicted, and why."""

    video: str
    error: TubeletError


@dataclass(frozen=True)
class Look:
    """What is to be shown to the model of one video: clips `(V, F, C, H, W)`, and the frames in them."""

    name: str
    pixels: Tensor
    indices: Tensor
    duration_seconds: float


def name_of(source: Source) -> str:
    """What messages call a video."""
    return (
        source.name
        if isinstance(source, Video)
        else "a video in memory"
        if isinstance(source, bytes)
        else str(source)
    )


@contextmanager
def opened(source: Source) -> Generator[Video]:
    """A video to read from; what was opened here is closed here."""
    if isinstance(source, Video):
        yield source
    else:
        with Video(source) as video:
            yield video


class Classifier:
    """Weights + `View` + `Labels`.

    Args:
        model: the ViViT.
        view: how it must look at a video.
        labels: what its outputs mean.
        report: what became of every tensor of the file it was loaded from, where it was.

    Raises:
        WeightsError: if the labels do not belong to the model.
        ConfigError: if the model cannot see what the view shows.
    """

    def __init__(self, model: ViViT, view: View, labels: Labels, report: LoadReport | None = None) -> None:
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

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """In what precision the model computes."""
        return self.model.head.weight.dtype

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move the model; returns the classifier itself."""
        self.model.to(device=device, dtype=dtype)
        return self

    def predict(self, video: Source, views: str | None = None) -> Prediction:
        """What the model says of a video.

        Args:
            video: a file, a folder of images, the bytes of a file, or a `Video`.
            views: temporal x spatial views such as `"4x3"`, whose logits are averaged. None: the view's own.

        Raises:
            DecodeError: if the video cannot be read.
        """
        outcome = next(iter(self.predict_many([video], views)))
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def predict_many(
        self, videos: Iterable[Source], views: str | None = None, *, batch_size: int = 8, ahead: int = 2
    ) -> Iterator[Prediction | Failure]:
        """Predictions of many videos, in their order; one that cannot be read is a `Failure` in its place.

        Videos are decoded `ahead` of the model, in threads beside it.

        Args:
            videos: what `predict` takes.
            views: see `predict`.
            batch_size: most clips to put through the model at a time.
            ahead: how many videos to decode ahead.
        """
        if self.view.answers == "window":
            yield from (self.predict_windows(video, batch_size) for video in videos)
            return
        for look in self.looks(videos, views, ahead):
            if isinstance(look, Failure):
                yield look
                continue
            logits = self.run(look.pixels, batch_size).mean(dim=0)
            yield Prediction(look.name, self.labels, logits, look.indices, 0.0, look.duration_seconds)

    def predict_windows(self, source: Source, batch_size: int = 8) -> Prediction | Failure:
        """One prediction for each window of a video, a batch of windows in memory at a time."""
        name = name_of(source)
        found: list[Prediction] = []
        try:
            with opened(source) as video:
                windows = self.view.windows(video)
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
        mean = torch.stack([p.logits for p in found]).mean(dim=0)
        indices = torch.cat([p.indices for p in found])
        return Prediction(name, self.labels, mean, indices, 0.0, found[-1].end_seconds, tuple(found))

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
        """Logits (or features) in float32 on the CPU for clips `(V, F, C, H, W)`, at most `batch_size` at a time."""
        compute = self.model if head else self.model.features
        parts = (compute(part.to(self.device, self.dtype)) for part in pixels.split(batch_size))
        return torch.cat([part.float().cpu() for part in parts])

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
                shown = self.view.test(video, views or self.view.views)
                return Look(name, shown.pixels, torch.from_numpy(shown.indices), video.duration_seconds)
        except (DecodeError, ConfigError) as error:
            return Failure(name, error)

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> Path:
        """Write `model.safetensors` and `config.json` into a folder, which is made if need be.

        Each file is put in its place only when it is whole.

        Args:
            folder: where to.
            extra: further plain values for `config.json`, such as how the model was trained and measured.

        Raises:
            WeightsError: if the folder holds another model, which is not overwritten.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        taken = [name for name in ("config.json", "model.safetensors") if (folder / name).exists()]
        if taken:
            raise WeightsError(f"{folder} already holds {' and '.join(taken)}: save into another folder.")
        return self.write(folder, extra)

    def write(self, folder: Path, extra: Mapping[str, Any] | None = None) -> Path:
        """Like `save`, over what is there; for a run that keeps its best model in its own folder."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model.config.to_dict(),
            "view": self.view.to_dict(),
            "labels": self.labels.to_dict(),
            **(extra or {}),
        }
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()
        }
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            weights, settings = Path(scratch, "model.safetensors"), Path(scratch, "config.json")
            save_file(tensors, weights, metadata={"format": "pt"})
            settings.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            weights.replace(folder / weights.name)
            settings.replace(folder / settings.name)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A classifier that `save` wrote. (`tubelet.load` reads every other format too.)

        Raises:
            WeightsError: if the folder holds none, or its parts do not fit together; lists every tensor concerned.
        """
        folder = Path(folder)
        config = read_json(folder / "config.json")
        if config.get("format") != FORMAT or config.get("version") != VERSION:
            raise WeightsError(
                f"{folder / 'config.json'} is not of format {FORMAT!r}, version {VERSION}, but "
                f"{config.get('format')!r}, version {config.get('version')}."
            )
        try:
            model = ViViT(ViViTConfig.from_dict(config["model"]))
            view, labels = View.from_dict(config["view"]), Labels.from_dict(config["labels"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{folder / 'config.json'} is damaged: {error}") from error
        file = folder / "model.safetensors"
        tensors = read_safetensors(file)
        load_strictly(model, {name: tensor.to(torch.float32) for name, tensor in tensors.items()}, str(file))
        rows = tuple(Row("taken", name, name, tuple(t.shape)) for name, t in tensors.items())
        return cls(model, view, labels, LoadReport(str(file), "Tubelet", rows))


def load(
    path: str | Path,
    config: ViViTConfig | None = None,
    *,
    start: Start | None = None,
    labels: Labels | None = None,
) -> Classifier:
    """A classifier from a file or folder: see `tubelet.load`."""
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"There is no file or folder {path}.")
    if path.is_dir():
        if config is not None:
            raise WeightsError(f"{path} says its own architecture: leave config out.")
        return load_folder(path, labels)
    if is_image_vit(path, config):
        if config is None:
            raise WeightsError(
                f"{path} holds an image ViT, which can only start a ViViT: give the config of that ViViT "
                "(tubelet.image_config makes one that fits the file)."
            )
        model, report = start_from_image(config, path, start)
        image = read_image_vit(path)
        view = View.image(image.mean, image.std, frames=config.frames, size=config.size)
        return Classifier(model, view, labels or Labels.numbered(config.classes), report)
    model, report = scenic.load_scenic(path, config)
    view = View.scenic(frames=model.config.frames, size=model.config.size, resize=resize_for(model.config))
    assumed = {"view": "the official one: stride 2, the shorter side 8/7 of the size, values in [-1, 1]"}
    if labels is None:
        assumed["labels"] = "numbered; the file has no names"
    report = replace(report, assumed={**report.assumed, **assumed})
    return Classifier(model, view, labels or Labels.numbered(model.config.classes), report)


def load_folder(folder: Path, labels: Labels | None) -> Classifier:
    """A classifier from a folder with a `config.json`: Tubelet's or Hugging Face's."""
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{folder} holds no config.json, so it is neither a Tubelet nor a Hugging Face model."
        )
    if read_json(folder / "config.json").get("format") == FORMAT:
        found = Classifier.load(folder)
        return found if labels is None else Classifier(found.model, found.view, labels, found.report)
    model, names, report = load_huggingface(folder)
    assumed = {"stride": "2 frames, as ViViT was trained on Kinetics; the folder does not say"}
    processor = folder / "preprocessor_config.json"
    if not processor.is_file():
        assumed["view"] = "the defaults of VivitImageProcessor; there is no preprocessor_config.json"
    view = View.huggingface(read_json(processor) if processor.is_file() else {}, frames=model.config.frames)
    if labels is None:
        labels = Labels.numbered(model.config.classes) if names is None else Labels.single(names)
    return Classifier(model, view, labels, replace(report, assumed=assumed))


def is_image_vit(path: Path, config: ViViTConfig | None) -> bool:
    """Whether a file holds an image ViT rather than a ViViT.

    PyTorch files do. A Scenic file with a 2D patch embedding does, unless its positions are those of `config`,
    a ViViT by uniform frame sampling; without a config the two cannot be told apart.
    """
    if path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        return True
    parameters = scenic.read_parameters(path)
    if not scenic.is_image_vit(parameters) or scenic.is_factorised_attention(parameters):
        return False
    if "Transformer/posembed_input/pos_embedding" not in parameters:
        return False
    positions = parameters["Transformer/posembed_input/pos_embedding"].shape[1]
    return config is None or positions != math.prod(config.grid) + config.has_class_token


def resize_for(config: ViViTConfig) -> int:
    """The official shorter side before cropping: 256 for 224 pixels, 8/7 of any other size."""
    return round(min(config.pixels) * 8 / 7)
