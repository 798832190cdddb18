"""Starting a ViViT from an image ViT (paper section 3.4), or from another ViViT, by named rules."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from tubelet.errors import ConfigError
from tubelet.models.config import AttentionKind, ViViTConfig
from tubelet.weights.source import SourceModel
from tubelet.weights.surgery import ChannelRule, Inflation, PositionRule

RULES: dict[AttentionKind, tuple[AttentionKind, ...]] = {
    "joint": ("joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"),
    "factorised_encoder": ("factorised_encoder",),
    "factorised_self_attention": ("factorised_self_attention",),
    "factorised_dot_product": ("factorised_dot_product",),
}
"""From which model to which there is a rule. An image ViT is a joint model of one frame."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How an image ViT, or another ViViT, becomes the ViViT that is wanted.

    The defaults are those of the official code, with its positions' "resize" for Model 1 put right. What a file
    has and the model has not (a class token, a representation layer) is left out, and what the model has and the file
    has not stays the model's own; the report says so of every tensor. The class token's position goes with it.
    """

    inflation: Inflation | Literal["kept"] = "central_frame"
    """The tubelet embedding from the file's: see `surgery.inflate`. `kept`: the model's own."""
    channels: ChannelRule = "energy"
    """The embedding where the model takes another number of channels than the file: see
    `surgery.change_channels`."""
    positions: PositionRule | Literal["kept"] = "resize"
    """The tubelets' positions from the file's: see `surgery.fit_positions`. Those of Model 2's temporal encoder
    are always resized linearly. `kept`: the model's own, in all encoders."""
    spatial_class_token: Literal["zero", "copied"] = "zero"
    """Model 2 from another model: the class token of the spatial encoder. The official code leaves it as a new
    one, which is zero."""
    temporal_encoder: Literal["random", "copied"] = "random"
    """Model 2 from another model: the temporal encoder is the model's own, as officially, or its blocks start as the
    file's first ones and its norm as the file's. From Model 2 it is that of the file."""
    temporal_attention: Literal["copied", "zero", "zero_all", "random"] = "copied"
    """Model 3 from another model: the attention over time starts as that over space, as officially; or adds
    nothing at first, each block starting as the file's: `zero` copies it with its output projection at zero,
    `zero_all` has all its weights at zero as the official code does, and then never learns more than a bias,
    because each gradient meets a zero weight. `random`: the model's own. Its norm is a new one in any case."""
    heads: Literal["new", "kept"] | tuple[str, ...] = "new"
    """The output layer: `new`, `kept` as it is, or the names of the heads to keep, each of which the file and the
    model must have with the same classes."""

    def __post_init__(self) -> None:
        """Lists, as JSON has them, are tuples here."""
        if not isinstance(self.heads, str):
            object.__setattr__(self, "heads", tuple(self.heads))


def start_config(source: SourceModel, **fields: Any) -> ViViTConfig:
    """The config of a ViViT that a source can start.

    Args:
        source: an image ViT, around which a ViViT of 32 frames and joint attention is described with its width,
            depth, heads, hidden size, patches, activation and norm; or a ViViT, whose own config this is.
        fields: fields of `ViViTConfig` that are to be different, such as `attention`, `frames`, `size`, `classes`.
            `tubelet` may be just the number of frames.

    Raises:
        ConfigError: if the fields make no sense together, or there are no such fields.
    """
    base = source.config
    if source.image:
        base = replace(
            base, frames=32, tubelet=(2, *base.tubelet[1:]), pool=None, classes=(400,), representation=None
        )
    unknown = sorted(set(fields) - set(ViViTConfig.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"ViViTConfig has no field {', '.join(unknown)}.")
    if isinstance(fields.get("tubelet"), int):
        fields["tubelet"] = (fields["tubelet"], *base.tubelet[1:])
    if (
        fields.get("attention", base.attention) != base.attention
    ):  # what belongs to one model is not the other's
        own = dict.fromkeys(("temporal_depth", "temporal_heads", "temporal_hidden", "order", "pool"))
        fields = own | fields
    return replace(base, **fields)


def check_start(source: SourceModel, config: ViViTConfig, start: Start) -> None:
    """Refuse a start for which there is no rule, or whose parts cannot fit; lists everything.

    Raises:
        ConfigError: if so.
    """
    theirs, ours = source.config.resolved(), config.resolved()
    problems: list[str] = []
    if ours.attention not in RULES[theirs.attention]:
        allowed = ", ".join(RULES[theirs.attention])
        problems.append(
            f"attention: there is no rule from {theirs.attention} to {ours.attention}; there is to {allowed}"
        )
    same = ["width", "hidden", "final_norm"]
    if "heads" not in source.assumed:
        same += ["heads", "head_dim"]
    if start.inflation != "kept" and theirs.tubelet[1:] != ours.tubelet[1:]:
        problems.append(
            f"tubelet: patches of {theirs.tubelet[1:]} in the file, of {ours.tubelet[1:]} in the model"
        )
    problems += [
        f"{name}: {getattr(theirs, name)} in the file, {getattr(ours, name)} in the model"
        for name in same
        if getattr(theirs, name) != getattr(ours, name) and not same_head_size(name, theirs, ours)
    ]
    if theirs.depth < ours.depth:
        problems.append(
            f"depth: {theirs.depth} in the file, {ours.depth} in the model, which may have fewer only"
        )
    problems += check_temporal(theirs, ours, start)
    if start.positions != "kept" and ours.positions == "learned" != theirs.positions:
        problems.append(
            f"positions: {theirs.positions} in the file, learned in the model; give the model the file's, or keep "
            "its own by positions='kept'"
        )
    if problems:
        raise ConfigError(
            "\n".join([f"{source.file} cannot start this model:", *(f"  {p}" for p in problems)])
        )


def same_head_size(name: str, theirs: ViViTConfig, ours: ViViTConfig) -> bool:
    """Whether a head size that one config leaves open comes out the same."""
    sizes = [config.head_dim or config.width // config.heads for config in (theirs, ours)]
    return name == "head_dim" and sizes[0] == sizes[1]


def check_temporal(theirs: ViViTConfig, ours: ViViTConfig, start: Start) -> list[str]:
    """What does not fit of the temporal encoder of Model 2."""
    if ours.attention != "factorised_encoder" or not ours.temporal_depth:
        return []
    if theirs.attention == ours.attention:
        depth, heads, hidden = theirs.temporal_depth or 0, theirs.temporal_heads, theirs.temporal_hidden
        if depth == 0:
            return []  # nothing to take: the model's own temporal encoder stays
    elif start.temporal_encoder == "copied":
        depth, heads, hidden = theirs.depth, theirs.heads, theirs.hidden
    else:
        return []
    found = {
        "temporal_heads": (heads, ours.temporal_heads),
        "temporal_hidden": (hidden, ours.temporal_hidden),
    }
    problems = [f"{n}: {a} in the file, {b} in the model" for n, (a, b) in found.items() if a != b]
    if depth < ours.temporal_depth:
        problems.append(f"temporal_depth: {depth} in the file, {ours.temporal_depth} in the model")
    return problems
