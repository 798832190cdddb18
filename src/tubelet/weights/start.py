"""Starting a ViViT from an image ViT (paper section 3.4), by named rules."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.weights.image_vit import ImageViT, read_image_vit
from tubelet.weights.report import Action, LoadReport, Row
from tubelet.weights.surgery import Inflation, PositionRule, fit_positions, inflate


@dataclass(frozen=True, kw_only=True)
class Start:
    """How an image ViT becomes a ViViT. The defaults are those of the official code."""

    inflation: Inflation = "central_frame"
    """The tubelet embedding from the patch embedding."""
    positions: PositionRule = "resize_tile"
    """The tubelets' positions from the patches'. With an equal grid of patches both rules are the same."""
    spatial_class_token: Literal["zero", "copied"] = "zero"
    """Model 2: the class token of the spatial encoder. The official code leaves it zero."""
    temporal_attention: Literal["copied", "zero", "random"] = "copied"
    """Model 3: the attention over time, copied from the image's, all zero (each block then starts as the
    image's), or the model's own. The temporal encoder of Model 2 always starts as the model's own."""


def image_config(path: str | Path, **fields: Any) -> ViViTConfig:
    """The config of a ViViT that an image ViT can start: its width, depth, heads, hidden size, patches, activation.

    Args:
        path: the file of the image ViT.
        fields: the other fields of `ViViTConfig`, such as `attention`, `frames`, `size`, `classes`; they also
            override. `tubelet` may be just the number of frames.

    Raises:
        WeightsError: if the file is no image ViT.
        ConfigError: if the fields make no sense together.
    """
    image = read_image_vit(Path(path))
    width, channels, _, height, breadth = image["embedding.weight"].shape
    frames = fields.pop("tubelet", 2)
    values: dict[str, Any] = {
        "width": width,
        "channels": channels,
        "depth": image.depth,
        "heads": image.heads or width // 64,
        "hidden": image["encoder.blocks.0.mlp.layer.fc1.weight"].shape[0],
        "tubelet": (frames, height, breadth) if isinstance(frames, int) else frames,
        "size": image.side * height,
        "activation": "gelu_erf" if image.erf else "gelu_tanh",
    }
    return ViViTConfig(**values | fields)


def start_from_image(
    config: ViViTConfig,
    path: str | Path,
    start: Start | None = None,
    generator: torch.Generator | None = None,
) -> tuple[ViViT, LoadReport]:
    """A ViViT that starts from an image ViT.

    The head, and what the rules leave, keeps the initial weights of a new model.

    Args:
        config: the ViViT, with the image ViT's width and patches, and at most its depth: a shallower one takes
            the first blocks.
        path: the file of the image ViT.
        start: the rules.
        generator: source of the new weights.

    Raises:
        WeightsError: if the file is no image ViT, or does not fit; lists every tensor concerned.
        ConfigError: if the rules do not apply to this model.
    """
    model = ViViT(config, generator)
    return model, fill_from_image(model, path, start)


def fill_from_image(model: ViViT, path: str | Path, start: Start | None = None) -> LoadReport:
    """Like `start_from_image`, into a model that exists: what the rules leave keeps the model's own weights."""
    image = read_image_vit(Path(path))
    surgeon = Surgeon(model, image, start or Start())
    for renamed in image.tensors:
        surgeon.place(renamed.theirs, renamed.ours, renamed.tensor)
    return surgeon.finish()


class Surgeon:
    """Puts the tensors of an image ViT into a ViViT, one at a time, and keeps the report."""

    def __init__(self, model: ViViT, image: ImageViT, start: Start) -> None:
        self.model, self.image, self.start = model, image, start
        self.own = model.state_dict()
        self.rows: list[Row] = []
        self.problems: list[str] = []
        kernel = image["embedding.weight"].shape[3:]
        if tuple(kernel) != model.config.tubelet[1:]:
            raise ConfigError(
                f"{image.file} has patches of {kernel[0]}x{kernel[1]} pixels, and the model's tubelets are "
                f"{model.config.tubelet[1]}x{model.config.tubelet[2]}."
            )

    def put(self, action: Action, theirs: str, ours: str, tensor: Tensor, remark: str = "") -> None:
        """Copy one tensor, or remember that it does not fit."""
        target = self.own.get(ours)
        if target is None or target.shape != tensor.shape:
            there = "no such tensor" if target is None else f"{list(target.shape)}"
            self.problems.append(f"  {theirs} {list(tensor.shape)} into {ours}: {there}")
            return
        target.copy_(tensor)
        self.rows.append(Row(action, theirs, ours, tuple(tensor.shape), remark))

    def leave(self, theirs: str, tensor: Tensor, why: str) -> None:
        """Leave one tensor of the file out."""
        self.rows.append(Row("left out", theirs, "", tuple(tensor.shape), why))

    def place(self, theirs: str, name: str, tensor: Tensor) -> None:
        """Decide what becomes of one tensor of the image ViT, by the name it has in a joint model."""
        block = re.match(r"encoder\.blocks\.(\d+)\.", name)
        factorised_encoder = self.model.spatial is not None
        ours = name.replace("encoder.", "spatial.", 1) if factorised_encoder else name
        if name.startswith("head."):
            self.leave(theirs, tensor, "the new head starts at zero")
        elif block and int(block[1]) >= self.model.config.depth:
            self.leave(theirs, tensor, f"the model has only {self.model.config.depth} blocks")
        elif name.startswith("representation."):
            if self.model.representation is None:
                self.leave(theirs, tensor, "the model has no representation layer")
            else:
                self.put("taken", theirs, ours, tensor)
        elif name == "embedding.weight":
            self.embedding(theirs, tensor)
        elif name == "encoder.positions.table":
            self.positions(theirs, ours, tensor)
        elif name == "encoder.class_token":
            if not self.model.config.has_class_token:
                self.leave(theirs, tensor, "the model has no class token")
            elif factorised_encoder and self.start.spatial_class_token == "zero":
                self.leave(theirs, tensor, "the spatial class token starts at zero, as officially")
            else:
                self.put("taken", theirs, ours, tensor)
        elif self.model.config.attention == "factorised_self_attention" and ".attention." in name:
            self.factorised_attention(theirs, name, tensor)
        else:
            self.put("taken", theirs, ours, tensor)

    def embedding(self, theirs: str, tensor: Tensor) -> None:
        """The tubelet embedding."""
        frames = self.model.config.tubelet[0]
        if frames == 1:
            self.put("taken", theirs, "embedding.weight", tensor)
        else:
            how = self.start.inflation
            self.put("inflated", theirs, "embedding.weight", inflate(tensor, frames, how), how)

    def positions(self, theirs: str, ours: str, table: Tensor) -> None:
        """The positions: the class token's is kept, dropped or left as the model's own; the others are fitted."""
        if self.model.config.positions != "learned":
            self.leave(theirs, table, f"the model's positions are {self.model.config.positions}")
            return
        own = self.own[ours]
        first = own[:, : int(self.model.config.has_class_token)]
        if "encoder.class_token" in self.image:
            first, table = table[:, : first.shape[1]], table[:, 1:]
        grid = self.model.config.grid
        target = (1, *grid[1:]) if self.model.spatial is not None else grid
        source = (1, self.image.side, self.image.side)
        fitted = fit_positions(table, source, target, self.start.positions)
        action: Action = "resized" if source[1:] != target[1:] else "tiled" if target[0] > 1 else "taken"
        remark = "" if action == "taken" else f"{source} to {target}"
        self.put(action, theirs, ours, torch.cat((first, fitted), dim=1), remark)

    def factorised_attention(self, theirs: str, name: str, tensor: Tensor) -> None:
        """Model 3: the image's attention becomes the attention over space and, by the rule, over time."""
        self.put("taken", theirs, name.replace(".attention.", ".space."), tensor)
        if ".norm." in name or self.start.temporal_attention == "random":
            return  # the norm before the attention over time starts as a new one, as officially
        copied = self.start.temporal_attention == "copied"
        time = name.replace(".attention.", ".time.")
        self.put("taken" if copied else "fresh", theirs, time, tensor if copied else torch.zeros_like(tensor))

    def finish(self) -> LoadReport:
        """The report; an error if anything did not fit."""
        if self.problems:
            lines = [f"{self.image.file} does not fit the model:", *self.problems]
            raise WeightsError("\n".join(lines))
        filled = {row.ours for row in self.rows}
        fresh = [Row("fresh", "", n, tuple(t.shape)) for n, t in self.own.items() if n not in filled]
        assumed = {"mean, std": f"{self.image.mean}, {self.image.std}, as usual for a {self.image.format}"}
        if self.image.heads is None:
            assumed["heads"] = f"{self.model.config.heads}; the file fits any number"
        if self.image.erf != (self.model.config.activation == "gelu_erf"):
            own = "erf" if self.image.erf else "tanh"
            assumed["activation"] = f"{self.model.config.activation}; the file's authors use the {own} GELU"
        return LoadReport(self.image.file, self.image.format, (*self.rows, *fresh), assumed)
