"""Named sizes: the paper's models, and how big they are.

Sizes are the paper's (section 4.1) and, for Ti, S and H, those of ViT and DeiT.
"""

from dataclasses import dataclass, replace

from tubelet.errors import ConfigError
from tubelet.models.config import ViViTConfig

SIZES: dict[str, tuple[int, int, int, int]] = {
    "ti": (192, 12, 3, 768),
    "s": (384, 12, 6, 1536),
    "b": (768, 12, 12, 3072),
    "l": (1024, 24, 16, 4096),
    "h": (1280, 32, 16, 5120),
}
"""Width, depth, heads and hidden size of Ti, S, B, L and H."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A named model, with what the paper says of it (Table 2a: Kinetics-400, 32 frames of 224x224)."""

    config: ViViTConfig
    about: str
    paper_parameters_millions: float | None = None
    paper_gflops: float | None = None


def sized(size: str, **fields: object) -> ViViTConfig:
    """The joint-attention config of a named size (`ti`, `s`, `b`, `l`, `h`) with some fields changed."""
    width, depth, heads, hidden = SIZES[size]
    return replace(ViViTConfig(width=width, depth=depth, heads=heads, hidden=hidden), **fields)  # pyright: ignore[reportArgumentType]


def build_variants() -> dict[str, Variant]:
    """All named models."""
    fe, fsa, fdp = "factorised_encoder", "factorised_self_attention", "factorised_dot_product"
    variants = {
        "b-16x2": Variant(
            config=sized("b"), about="Model 1, joint", paper_parameters_millions=88.9, paper_gflops=455.2
        ),
        "b-16x2-fe": Variant(
            config=sized("b", attention=fe, temporal_depth=4),
            about="Model 2, factorised encoder",
            paper_parameters_millions=115.1,
            paper_gflops=284.4,
        ),
        "b-16x2-fe-average": Variant(
            config=sized("b", attention=fe, temporal_depth=0),
            about="Model 2, frames averaged (the paper's baseline)",
            paper_parameters_millions=86.7,
            paper_gflops=283.9,
        ),
        "b-16x2-fsa": Variant(
            config=sized("b", attention=fsa),
            about="Model 3, factorised self-attention",
            paper_parameters_millions=117.3,
            paper_gflops=372.3,
        ),
        "b-16x2-fdp": Variant(
            config=sized("b", attention=fdp),
            about="Model 4, factorised dot-product",
            paper_parameters_millions=88.9,
            paper_gflops=277.1,
        ),
        "l-16x2-fe": Variant(
            config=sized("l", attention=fe, temporal_depth=4),
            about="Model 2 as in the paper and for EPIC-Kitchens: 4 temporal blocks",
        ),
        "l-16x2-fe-24": Variant(
            config=sized("l", attention=fe, temporal_depth=24),
            about="Model 2 as released for Kinetics: 24 temporal blocks",
        ),
        "l-16x2": Variant(config=sized("l"), about="Model 1, joint"),
        "h-14x2": Variant(config=sized("h", tubelet=(2, 14, 14)), about="Model 1, joint, smaller tubelets"),
        "h-14x2-fe": Variant(
            config=sized("h", tubelet=(2, 14, 14), attention=fe, temporal_depth=4),
            about="Model 2, smaller tubelets",
        ),
    }
    for size in ("ti", "s"):
        variants[f"{size}-16x2"] = Variant(config=sized(size), about="Model 1, joint")
        variants[f"{size}-16x2-fe"] = Variant(
            config=sized(size, attention=fe, temporal_depth=4), about="Model 2, factorised encoder"
        )
        variants[f"{size}-16x2-fsa"] = Variant(
            config=sized(size, attention=fsa), about="Model 3, factorised self-attention"
        )
    variants["s-16x2-fdp"] = Variant(
        config=sized("s", attention=fdp), about="Model 4, factorised dot-product"
    )
    return variants


VARIANTS: dict[str, Variant] = build_variants()
"""The named models. Ti has three heads, so no Model 4."""


def variant(name: str) -> ViViTConfig:
    """The config of a named model, such as `"b-16x2-fe"`.

    Raises:
        ConfigError: for a name that is not in `VARIANTS`.
    """
    if name not in VARIANTS:
        raise ConfigError(f"There is no model {name!r}. There are: {', '.join(sorted(VARIANTS))}.")
    return VARIANTS[name].config
