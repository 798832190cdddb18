"""The model card: the `README.md` that goes with a saved model, for whoever finds its folder."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tubelet.labels import Head, Labels
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights.report import LoadReport

MODELS = {
    "joint": "Model 1, joint attention over space and time",
    "factorised_encoder": "Model 2, a spatial encoder and then a temporal one",
    "factorised_self_attention": "Model 3, attention over space and over time in each block",
    "factorised_dot_product": "Model 4, half of the heads over space and half over time",
}
MOST_NAMES = 60
"""Class names of one head that a card lists; `config.json` has them all."""
SEAL = re.compile(r"\n<!-- tubelet ([0-9a-f]{16}): [^\n]*-->\n$")

HEADER = """---
library_name: tubelet
pipeline_tag: video-classification
tags:
- vivit
- video
# license: to be filled in by whoever publishes these weights, such as apache-2.0, cc-by-4.0 or other
---
"""

USE = """## How to use it

```python
import tubelet

classifier = tubelet.load("{place}")
print(classifier.predict("video.mp4").top(5))
```

```shell
pip install tubelet
tubelet predict video.mp4 --model {place}
```

Of a video it looks at {view}.
"""

LICENCE = """## Licence

Not said yet. Whoever publishes these weights fills it in, here and in the first lines of this file: under which
terms they may be used, and what the data they were trained on allow.
"""


def write_card(
    place: str,
    model: ViViT,
    view: View,
    labels: Labels,
    report: LoadReport | None,
    extra: Mapping[str, Any],
) -> str:
    """The card of a model, which says only what is known; what is not known is named as missing.

    Args:
        place: what `tubelet.load` finds the model by: its folder's name, or its Hub id.
        model: the model.
        view: how it looks at a video.
        labels: what its outputs mean.
        report: of the file that it was loaded from, where it was.
        extra: what `config.json` holds besides, such as data and measured numbers: plain values.
    """
    name = place.rpartition("/")[2]
    parts = [
        f"{HEADER}\n# {name}\n\n{about(model)}",
        USE.format(place=place, view=look_of(view)),
        "## What it says\n\n" + "\n".join(say(head) for head in labels.heads) + "\n",
        "## Data and measurements\n\n" + measured(extra),
    ]
    if report is not None and report.format != "Tubelet":
        parts.append("## Where the weights come from\n\n" + origin(report))
    text = "\n".join([*parts, LICENCE])
    return f"{text}\n<!-- tubelet {seal(text)}: saving writes this card anew as long as nobody has changed it -->\n"


def is_ours(card: str) -> bool:
    """Whether a card is as `write_card` wrote it, so that nobody's words are lost with it."""
    found = SEAL.search(card)
    return found is not None and found[1] == seal(card[: found.start()])


def seal(text: str) -> str:
    """What tells whether a text has been changed."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def about(model: ViViT) -> str:
    """The architecture in a sentence."""
    config = model.config
    count = sum(parameter.numel() for name, parameter in model.named_parameters() if ".lora_" not in name)
    blocks = f"{config.depth} blocks"
    if config.attention == "factorised_encoder":
        blocks = f"{config.depth} spatial and {config.temporal_depth} temporal blocks"
    height, width = config.pixels
    t, h, w = config.tubelet
    return (
        f"A ViViT (Video Vision Transformer, [arXiv 2103.15691](https://arxiv.org/abs/2103.15691)): "
        f"{MODELS[config.attention]}; {count:,} parameters, {blocks} of width {config.width} with "
        f"{config.heads} heads, over {config.frames} frames of {height}x{width} pixels in tubelets of {t}x{h}x{w}.\n"
    )


def look_of(view: View) -> str:
    """How a view looks at a video, in words."""
    if view.uniform:
        frames = f"{view.frames} frames spread evenly over it"
    elif view.stride is not None:
        every = "consecutive frames" if view.stride == 1 else f"frames, {view.stride} frames apart"
        frames = f"{view.frames} {every}"
    else:
        frames = f"{view.frames} frames at {view.frames_per_second:g} per second"
    if view.value_range is not None:
        values = f"values from {view.value_range[0]:g} to {view.value_range[1]:g}"
    else:
        values = f"values normalised with mean {view.mean} and deviation {view.std}"
    answers = (
        "one answer for each window of it"
        if view.answers == "window"
        else f"{view.views} views (clips x crops)"
    )
    return (
        f"{frames}, {view.height}x{view.width} pixels, {values}, {answers}; the details are in `config.json`"
    )


def say(head: Head) -> str:
    """One head and its classes."""
    names = ", ".join(head.classes[:MOST_NAMES])
    rest = len(head.classes) - MOST_NAMES
    more = f" and {rest} more, which are in `config.json`" if rest > 0 else ""
    if head.kind == "number":
        return f"- **{head.name}**, numbers: {names}{more}"
    several = "any number of them may hold" if head.kind == "multi" else "one of them holds"
    return f"- **{head.name}**, {len(head.classes)} classes, {several}: {names}{more}"


def measured(extra: Mapping[str, Any]) -> str:
    """What was recorded of training and measuring."""
    lines = list(items(extra))
    if lines:
        return "As recorded when the model was saved:\n\n" + "\n".join(lines) + "\n"
    return (
        "Nothing was recorded. Say here which data the model was trained on, how good it is on which held-out data, "
        "and what it is bad at.\n"
    )


def items(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Plain values as nested items of a list."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}- {key}:"
            yield from items({str(k): v for k, v in value.items()}, indent + "  ")  # pyright: ignore[reportUnknownArgumentType]
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
            yield f"{indent}- {key}: {shown}"


def origin(report: LoadReport) -> str:
    """The file that the weights were read from, and what it could not tell."""
    name = report.file.rstrip("/").rpartition("/")[2]
    text = f"Converted from `{name}` ({report.format}), {len(report.rows)} tensors.\n"
    if report.assumed:
        lines = "\n".join(f"- {field}: {why}" for field, why in report.assumed.items())
        text += f"\nWhat that file does not say, and was assumed:\n\n{lines}\n"
    return text
