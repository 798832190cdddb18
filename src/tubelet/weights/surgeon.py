"""Putting the tensors of one model into another, by the rules of a `Start`, with a report of every one."""

import re

import torch
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.labels import Labels
from tubelet.models.vivit import ViViT
from tubelet.weights.report import Action, LoadReport, Row
from tubelet.weights.source import SourceModel
from tubelet.weights.start import Start, check_start
from tubelet.weights.surgery import change_channels, fit_positions, inflate


def fill(
    model: ViViT, source: SourceModel, start: Start | None = None, labels: Labels | None = None
) -> LoadReport:
    """Start a model from another: what the rules leave keeps the model's own weights.

    Args:
        model: what is filled; its width, heads, hidden size and patches are the source's, and it has at most as
            many blocks: a shallower one takes the first.
        source: the other model.
        start: the rules.
        labels: what the model's heads mean; needed to keep heads by name.

    Raises:
        ConfigError: if there is no rule for these two models, or their parts cannot fit; lists all of them. The
            model is as it was then.
        WeightsError: if tensors do not fit all the same; lists all of them.
    """
    start = start or Start()
    check_start(source, model.config, start)
    surgeon = Surgeon(model, source, start)
    surgeon.embedding()
    surgeon.head(labels)
    for renamed in source.tensors:
        if not renamed.ours.startswith(("embedding.", "head.")):
            surgeon.place(renamed.theirs, renamed.ours, renamed.tensor)
    return surgeon.finish()


class Surgeon:
    """Puts the tensors of a source into a model, one at a time, and keeps the report.

    Nothing is copied before `finish`, which copies all or nothing.
    """

    def __init__(self, model: ViViT, source: SourceModel, start: Start) -> None:
        self.model, self.source, self.start = model, source, start
        self.own = model.state_dict()
        self.names = {r.ours: r.theirs for r in source.tensors}
        self.new: dict[str, Tensor] = {}
        self.rows: list[Row] = list(source.left)
        self.problems: list[str] = []

    def put(self, action: Action, name: str, ours: str, tensor: Tensor, remark: str = "") -> None:
        """Note what becomes of the source's tensor of our name `name`, or that it does not fit."""
        theirs, target = self.names[name], self.own.get(ours)
        if target is None or target.shape != tensor.shape:
            there = "no such tensor" if target is None else f"{list(target.shape)}"
            self.problems.append(f"  {theirs} {list(tensor.shape)} into {ours}: {there}")
            return
        if name in self.source.split:
            action = "split" if action == "taken" else action
            remark = "; ".join(part for part in (self.source.split[name], remark) if part)
        self.new[ours] = tensor
        self.rows.append(Row(action, theirs, ours, tuple(tensor.shape), remark))

    def leave(self, name: str, why: str) -> None:
        """Leave one tensor of the source out."""
        shape = tuple(self.source.named[name].shape)
        remark = "; ".join(part for part in (self.source.split.get(name), why) if part)
        self.rows.append(Row("left out", self.names[name], "", shape, remark))

    def place(self, theirs: str, name: str, tensor: Tensor) -> None:
        """Decide what becomes of a tensor of the source that is not of its embedding or head."""
        part, _, rest = name.partition(".")
        if part in ("representation", "pooled_norm"):
            if getattr(self.model, part) is None:
                self.leave(name, f"the model has no {part.replace('_', ' ')} layer")
            else:
                self.put("taken", name, name, tensor)
            return
        placed = [to for to in self.encoders(part) if self.place_in(to, name, rest, tensor)]
        if not placed and not any(row.theirs == theirs for row in self.rows):
            self.leave(name, f"the model has no encoder for what is {part} in the file")

    def encoders(self, part: str) -> list[str]:
        """The encoders of the model that an encoder of the source goes into."""
        own = [name for name in ("encoder", "spatial", "temporal") if getattr(self.model, name) is not None]
        if part != "encoder" or "encoder" in own:
            return [name for name in own if name == part]
        return own if self.start.temporal_encoder == "copied" else ["spatial"]

    def place_in(self, to: str, name: str, rest: str, tensor: Tensor) -> bool:
        """Put a tensor of an encoder into one of the model's encoders; False if that has no place for it."""
        config, part = self.model.config, name.partition(".")[0]
        depth = (config.temporal_depth or 0) if to == "temporal" else config.depth
        crossed = part == "encoder" and to != "encoder"
        block = re.match(r"blocks\.(\d+)\.", rest)
        if to == "temporal" and crossed and block is None and not rest.startswith("norm."):
            return False  # a class token and positions of space say nothing of time
        if block is not None and int(block[1]) >= depth:
            if not crossed or to == "spatial":
                self.leave(name, f"only {depth} blocks are there in the model")
            return False
        ours = f"{to}.{rest}"
        if rest == "positions.table":
            self.positions(name, ours, to, tensor)
        elif rest == "class_token" and not config.has_class_token:
            self.leave(name, "the model has no class token")
        elif rest == "class_token" and crossed and self.start.spatial_class_token == "zero":
            self.leave(name, "the spatial class token starts as a new one, zero, as officially")
        elif config.attention == "factorised_self_attention" and ".attention." in name:
            self.factorised_attention(name, ours, tensor)
        else:
            self.put("taken", name, ours, tensor)
        return True

    def embedding(self) -> None:
        """The tubelet embedding: kept, taken, or inflated over frames and channels."""
        weight, bias = (self.source.named[f"embedding.{kind}"] for kind in ("weight", "bias"))
        if self.start.inflation == "kept":
            for name in ("embedding.weight", "embedding.bias"):
                self.leave(name, "the model's own embedding is kept")
            return
        config, remarks = self.model.config, list[str]()
        new, moved = weight, bias
        if weight.shape[1] != config.channels:
            mean, std = self.source.normalisation
            new, moved = change_channels(weight, bias, config.channels, self.start.channels, mean, std)
            remarks.append(f"{weight.shape[1]} to {config.channels} channels: {self.start.channels}")
        if weight.shape[2] != config.tubelet[0]:
            new = inflate(new, config.tubelet[0], self.start.inflation)
            remarks.append(f"{weight.shape[2]} to {config.tubelet[0]} frames: {self.start.inflation}")
        if remarks:
            remarks.append(from_to(weight, new))
        self.put(
            "inflated" if remarks else "taken",
            "embedding.weight",
            "embedding.weight",
            new,
            ", ".join(remarks),
        )
        shifted = "" if moved is bias or torch.equal(moved, bias) else "moved by the channels' means"
        self.put("inflated" if shifted else "taken", "embedding.bias", "embedding.bias", moved, shifted)

    def positions(self, name: str, ours: str, to: str, table: Tensor) -> None:
        """The positions: the class token's is kept, dropped or left as the model's own; the others are fitted."""
        config, theirs = self.model.config, self.source.config
        if self.start.positions == "kept" or config.positions != "learned":
            kept = "kept" if config.positions == "learned" else config.positions
            self.leave(name, f"the model's positions are {kept}")
            return
        given = table
        first = self.own[ours][:, : int(config.has_class_token)]
        if theirs.has_class_token:
            first, table = table[:, : first.shape[1]], table[:, 1:]
        source, target = theirs.grid, config.grid
        if to == "temporal":
            source, target, rule = (source[0], 1, 1), (target[0], 1, 1), "resize"
        else:
            rule = self.start.positions
            if to == "spatial":
                target = (1, *target[1:])
                source = source if name.startswith("encoder.") else (1, *source[1:])
        try:
            fitted = torch.cat((first, fit_positions(table, source, target, rule)), dim=1)
        except ConfigError as error:
            self.problems.append(f"  {self.names[name]} into {ours}: {error}")
            return
        resized = source[1:] != target[1:] or (source[0] not in (1, target[0]) and rule.startswith("resize"))
        action: Action = "taken" if source == target else "resized" if resized else "tiled"
        remarks = [f"{source} to {target}: {rule}"] if source != target else []
        if fitted.shape != given.shape:
            remarks.append(from_to(given, fitted))
        if config.has_class_token != theirs.has_class_token:
            remarks.append(
                "without the class token's"
                if theirs.has_class_token
                else "the class token's is the model's own"
            )
        self.put(action, name, ours, fitted, ", ".join(remarks))

    def factorised_attention(self, name: str, ours: str, tensor: Tensor) -> None:
        """Model 3: the joint attention becomes the attention over space and, by the rule, over time."""
        self.put("taken", name, ours.replace(".attention.", ".space."), tensor)
        rule, time = self.start.temporal_attention, ours.replace(".attention.", ".time.")
        if ".norm." in name or rule == "random":
            return  # the norm before the attention over time starts as a new one, as officially
        if rule == "zero_all" or (rule == "zero" and ".out." in name):
            self.put("fresh", name, time, torch.zeros_like(tensor), f"zero: temporal_attention={rule!r}")
        else:
            self.put("taken", name, time, tensor, "attention over time, copied")

    def head(self, labels: Labels | None) -> None:
        """The output layer: new, kept, or kept in part, by the names of the heads."""
        names = [name for name in ("head.weight", "head.bias") if name in self.source.named]
        wanted = self.start.heads
        if wanted == "new":
            for name in names:
                self.leave(name, "the new head starts at zero")
            return
        if not names:
            raise ConfigError(f"{self.source.file} has no head to keep: leave heads='new'.")
        if wanted == "kept":
            for name in names:
                self.put("taken", name, name, self.source.named[name])
            return
        spans = [spans_of(found) for found in (self.source.labels, labels)]
        for head in wanted:
            if head not in spans[0] or head not in spans[1] or spans[0][head][1] != spans[1][head][1]:
                there = [", ".join(span) or "no names" for span in spans]
                raise ConfigError(
                    f"heads={wanted}: {head!r} is not a head of the same classes in both. The file has {there[0]}; "
                    f"the model has {there[1]} (give its labels)."
                )
        for name in names:
            tensor = self.own[name].clone()
            for head in wanted:
                tensor[spans[1][head][0]] = self.source.named[name][spans[0][head][0]]
            self.put(
                "split",
                name,
                name,
                tensor,
                f"heads {', '.join(wanted)}, {from_to(self.source.named[name], tensor)}",
            )

    def finish(self) -> LoadReport:
        """Copy everything, and report; an error if anything did not fit."""
        if self.problems:
            raise WeightsError("\n".join([f"{self.source.file} does not fit the model:", *self.problems]))
        for name, tensor in self.new.items():
            self.own[name].copy_(tensor)
        fresh = [Row("fresh", "", n, tuple(t.shape)) for n, t in self.own.items() if n not in self.new]
        theirs, ours = self.source.config.resolved(), self.model.config
        assumed = dict(self.source.assumed)
        for name in ("activation", "norm_eps"):
            if getattr(theirs, name) != getattr(ours, name):
                assumed[name] = f"{getattr(ours, name)}; the file's authors use {getattr(theirs, name)}"
        if "heads" in assumed:
            assumed["heads"] = f"{ours.heads}; the file fits any number"
        return LoadReport(self.source.file, self.source.format, (*self.rows, *fresh), assumed)


def from_to(given: Tensor, found: Tensor) -> str:
    """Two shapes, for a remark."""
    return f"{list(given.shape)} to {list(found.shape)}"


def spans_of(labels: Labels | None) -> dict[str, tuple[slice, tuple[str, ...]]]:
    """Where each head's logits are among all, and its classes."""
    spans: dict[str, tuple[slice, tuple[str, ...]]] = {}
    first = 0
    for head in () if labels is None else labels.heads:
        spans[head.name] = slice(first, first + len(head.classes)), head.classes
        first += len(head.classes)
    return spans
