"""`SourceModel`: weights read to start a ViViT from, whichever file they were in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights.rename import Renamed
from tubelet.weights.report import Row


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A model to start another from. An image ViT is one too: a ViViT of joint attention over a single frame.

    Raises:
        WeightsError: if tensors are missing, too many or of another shape than the config's; lists all of them.
            Only those of the head may be missing.
    """

    file: str
    format: str
    config: ViViTConfig
    """The architecture of the tensors. Without a head its `classes` mean nothing."""
    tensors: tuple[Renamed, ...]
    """By their names in the file, and in a ViViT of this config."""
    view: View
    """How it looks at a video; of an image ViT, the values it wants of pixels."""
    labels: Labels | None = None
    """What its head means, where that is known."""
    image: bool = False
    """Whether it is an image ViT."""
    left: tuple[Row, ...] = ()
    """What of the file is no part of the model, and why."""
    split: Mapping[str, str] = field(default_factory=dict[str, str])
    """Our names of tensors that are a part of one in the file, and which part."""
    assumed: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the file does not say: the value taken, and what would change it."""

    def __post_init__(self) -> None:
        """Refuse what is not whole."""
        own = ViViT.hollow(self.config).state_dict()
        found = {r.ours: r.tensor for r in self.tensors}
        problems = [
            f"  missing: {name} {list(tensor.shape)}"
            for name, tensor in own.items()
            if name not in found and not name.startswith("head.")
        ]
        for renamed in self.tensors:
            if renamed.ours not in own:
                problems.append(f"  left over: {renamed.theirs} {list(renamed.tensor.shape)}")
            elif renamed.tensor.shape != own[renamed.ours].shape:
                problems.append(
                    f"  shape: {renamed.theirs} is {list(renamed.tensor.shape)}, not {list(own[renamed.ours].shape)}"
                )
        if problems:
            raise WeightsError("\n".join([f"{self.file} holds no whole {self.format}:", *problems]))

    @cached_property
    def named(self) -> dict[str, Tensor]:
        """The tensors by our names."""
        return {r.ours: r.tensor for r in self.tensors}

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel, over values in [0, 1], that its view amounts to."""
        view, channels = self.view, self.config.channels
        if view.value_range is not None:
            low, high = view.value_range
            return (-low / (high - low),) * channels, (1 / (high - low),) * channels
        assert view.mean is not None, "a View has a range, or mean and deviation"
        assert view.std is not None, "a View has a range, or mean and deviation"
        times = channels if len(view.mean) == 1 else 1
        return view.mean * times, view.std * times


def kept_or_left(
    tensors: Mapping[str, Tensor], left: Iterable[tuple[str, str]]
) -> tuple[dict[str, Tensor], tuple[Row, ...]]:
    """Tensors without those whose names begin with one of some prefixes, and rows that say why these are left out.

    Args:
        tensors: by name.
        left: prefixes and reasons.
    """
    kept: dict[str, Tensor] = {}
    rows: list[Row] = []
    for name, tensor in tensors.items():
        why = next((why for prefix, why in left if name.startswith(prefix)), None)
        if why is None:
            kept[name] = tensor
        else:
            rows.append(Row("left out", name, "", tuple(tensor.shape), why))
    return kept, tuple(rows)
