"""The five ViViT checkpoints of Scenic's model zoo: what their files do not say, by name."""

from dataclasses import dataclass, replace

from tubelet.errors import ConfigError
from tubelet.labels import Head, Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.variants import variant
from tubelet.video.view import View


@dataclass(frozen=True, kw_only=True)
class Release:
    """A checkpoint as its authors released it: model, how it looks at a video, and what its outputs mean."""

    name: str
    config: ViViTConfig
    """Its `temporal_depth` is the paper's; see `temporal_depths`."""
    temporal_depths: tuple[int, ...] = ()
    """Depths that a file of this name may have, of which its own is taken: the released configurations of the large
    models say 24 temporal blocks and the paper says 4."""
    view: View
    """With the test views that the published accuracy is of."""
    labels: Labels
    """Numbered: the files hold no names of classes."""
    top1: float
    """The published accuracy, in per cent; of verb and noun together where there are both."""


def numbered(name: str, count: int) -> Head:
    """A head whose classes are only numbered."""
    return Head(name, tuple(f"{'class' if name == 'label' else name} {i}" for i in range(count)))


def release(
    name: str,
    model: str,
    heads: dict[str, int],
    top1: float,
    temporal_depths: tuple[int, ...] = (),
    stride: int = 2,
    views: str = "4x3",
) -> Release:
    """A release of 32 frames of 224x224 pixels; all five are."""
    labels = Labels(tuple(numbered(head, count) for head, count in heads.items()))
    return Release(
        name=name,
        config=replace(variant(model), classes=labels.classes),
        temporal_depths=temporal_depths,
        view=replace(View.scenic(frames=32, stride=stride, size=224, resize=256), views=views),
        labels=labels,
        top1=top1,
    )


def build_releases() -> tuple[Release, ...]:
    """All five."""
    k400, k600, epic = {"label": 400}, {"label": 600}, {"noun": 300, "verb": 97}
    return (
        release("vivit_b_16x2_k400", "b-16x2", k400, 79.9),
        release("vivit_b_16x2_fe_k400", "b-16x2-fe", k400, 78.4, (4,)),
        release("vivit_l_16x2_fe_k400", "l-16x2-fe", k400, 80.3, (4, 24)),
        release("vivit_l_16x2_fe_k600", "l-16x2-fe", k600, 81.6, (4, 24)),
        release("vivit_l_16x2_fe_epic", "l-16x2-fe", epic, 43.6, (4, 24), stride=1, views="4x1"),
    )


RELEASES: dict[str, Release] = {found.name: found for found in build_releases()}
"""The releases by name."""


def scenic_zoo(name: str) -> Release:
    """What is known of a checkpoint of the Scenic model zoo; `tubelet.load` takes it beside the file.

    Args:
        name: `vivit_b_16x2_k400` (Model 1), `vivit_b_16x2_fe_k400`, `vivit_l_16x2_fe_k400`,
            `vivit_l_16x2_fe_k600` or `vivit_l_16x2_fe_epic` (Model 2).

    Raises:
        ConfigError: for any other name.
    """
    if name not in RELEASES:
        raise ConfigError(f"There is no release {name!r}. There are: {', '.join(RELEASES)}.")
    return RELEASES[name]
