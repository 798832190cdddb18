"""Tubelet's `config.json` as a config of transformers: one file for both."""

from dataclasses import replace
from typing import Any

from transformers import PreTrainedConfig

from tubelet.errors import ConfigError
from tubelet.labels import Head, Labels
from tubelet.model_folder import FORMAT, VERSION
from tubelet.models.config import ViViTConfig
from tubelet.video.view import View
from tubelet.weights.vivit_folder import PROBLEMS, kind_of


def names_of(labels: Labels) -> list[str]:
    """A name for each logit: the class, or "head: class" where there are several heads."""
    several = len(labels.heads) > 1
    return [f"{head.name}: {name}" if several else name for head in labels.heads for name in head.classes]


class TubeletConfig(PreTrainedConfig):
    """What Tubelet writes into `config.json`, with the names of classes as transformers wants them too.

    `model`, `view` and `labels` are as `to_dict` of `ViViTConfig`, `View` and `Labels` makes them; what is left out
    is ViViT-B/16x2, the official view, and numbered classes. `id2label` follows from `labels`; where it is given
    another number of classes (`num_labels=5`) a model made of the config has one head of those.
    """

    model_type = "tubelet"

    format: str = FORMAT
    version: int = VERSION
    model: dict[str, Any] | None = None
    view: dict[str, Any] | None = None
    labels: list[dict[str, Any]] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what was left out.

        Raises:
            ConfigError: if it is not of this version's format, or its parts make no sense.
        """
        if (self.format, self.version) != (FORMAT, VERSION):
            raise ConfigError(
                f"The config is not of format {FORMAT!r}, version {VERSION}, but {self.format!r}, {self.version}."
            )
        vivit = ViViTConfig.from_dict(self.model or {})
        self.model = vivit.to_dict()
        if self.view is None:
            side = round(min(vivit.pixels) * 8 / 7)
            self.view = View.scenic(frames=vivit.frames, size=vivit.size, resize=side).to_dict()
        labels = Labels.numbered(vivit.classes) if self.labels is None else Labels.from_dict(self.labels)
        self.labels = labels.to_dict()
        names = names_of(labels)
        wanted = kwargs.pop("num_labels", None)
        if wanted is not None and wanted != len(names):
            names = [f"LABEL_{i}" for i in range(wanted)]
        self.id2label = dict(enumerate(names))
        self.label2id = {name: i for i, name in enumerate(names)}
        if len(labels.heads) == 1 and labels.heads[0].kind != "single":
            self.problem_type = PROBLEMS[labels.heads[0].kind]
        super().__post_init__(**kwargs)

    @property
    def num_frames(self) -> int:
        """Frames of a clip; the pipeline asks for it."""
        return self.vivit().frames

    @property
    def hidden_size(self) -> int:
        """Size of a token; some trainers' back ends ask for it."""
        return self.vivit().width

    def vivit(self) -> ViViTConfig:
        """The architecture, its heads as `classes` has them."""
        return replace(ViViTConfig.from_dict(self.model or {}), classes=self.classes().classes)

    def looks(self) -> View:
        """How the model looks at a video."""
        return View.from_dict(self.view or {})

    def classes(self) -> Labels:
        """The heads, after whatever was done to `id2label`, renamed or of another number, and `problem_type`."""
        labels = Labels.from_dict(self.labels or [])
        given = {int(number): str(name) for number, name in (self.id2label or {}).items()}
        names = [given[number] for number in sorted(given)]
        if len(labels.heads) > 1 and names == names_of(labels):
            return labels
        kind = (
            "single"
            if self.problem_type is None
            else kind_of({"problem_type": self.problem_type}, len(names))
        )
        name = labels.heads[0].name if len(labels.heads) == 1 else "label"
        return Labels((Head(name, tuple(names), kind),))

    def settle(self) -> None:
        """Write what `id2label` says into `model` and `labels`, so that what is saved says it once."""
        self.model, self.labels = self.vivit().to_dict(), self.classes().to_dict()

    def to_diff_dict(self) -> dict[str, Any]:
        """What is saved: everything, for Tubelet has no defaults in its files."""
        self.settle()  # training may have found out the problem_type
        return self.to_dict()
