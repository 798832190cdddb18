"""`tubelet info`: what a model is and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from tubelet.models.variants import Variant


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a model is and costs: parameters, multiply-adds, tokens, memory; or what became of a file's tensors."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME|FILE]")] = None
    """A named model such as b-16x2-fe, or a model folder or weights file."""
    all: Annotated[bool, tyro.conf.arg(name="list")] = False
    """All named models."""
    paper: bool = False
    """The models of the paper's Table 2a, counted beside the paper's numbers."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0."""
    options = tyro.cli(Info, prog=prog, args=arguments)
    from tubelet.cli.console import stdout
    from tubelet.errors import ConfigError
    from tubelet.models.variants import VARIANTS

    console = stdout()
    if options.paper:
        paper = {name: v for name, v in VARIANTS.items() if v.paper_gflops is not None}
        console.print(cost_table(paper))
    elif options.all:
        console.print(cost_table(VARIANTS))
    elif options.name is None:
        raise ConfigError("Name a model or a file, or ask for --list or --paper.")
    elif options.name in VARIANTS:
        console.print(cost_table({options.name: VARIANTS[options.name]}))
        console.print(VARIANTS[options.name].config.resolved())
    else:
        describe(options.name)
    return 0


def cost_table(variants: "Mapping[str, Variant]") -> "Table":
    """Counted costs of named models at their own frames and size, beside the paper's."""
    from rich.table import Table

    from tubelet.models.cost import count_cost

    table = Table(caption="Multiply-adds of matrix products; the paper counts elementwise work too.")
    table.add_column("model", no_wrap=True)
    table.add_column("what it is")
    for column in ("params", "paper", "GMACs", "paper", "tokens", "training memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, variant in variants.items():
        cost = count_cost(variant.config)
        millions, gflops = variant.paper_parameters_millions, variant.paper_gflops
        table.add_row(
            name,
            variant.about,
            f"{cost.parameters / 1e6:.1f}M",
            "" if millions is None else f"{millions:.1f}M",
            f"{cost.macs / 1e9:.1f}",
            "" if gflops is None else f"{gflops:.1f}",
            "x".join(str(n) for n in cost.tokens),
            f"{cost.training_bytes / 2**30:.2f} GiB",
        )
    return table


def describe(name: str) -> None:
    """A model on disk: its architecture, view, labels, and what became of every tensor."""
    from tubelet.errors import ConfigError
    from tubelet.loading import MODELS, load
    from tubelet.models.cost import count_cost

    if not Path(name).exists() and name not in MODELS:
        raise ConfigError(f"{name!r} is neither a named model (tubelet info --list) nor a file or folder.")
    classifier = load(name)
    cost = count_cost(classifier.model.config)
    print(classifier.model.config)
    print(classifier.view)
    for head in classifier.labels.heads:
        shown = ", ".join(head.classes[:10]) + (", ..." if len(head.classes) > 10 else "")
        print(f"{head.name}: {len(head.classes)} classes: {shown}")
    print(f"{cost.parameters:,} parameters, {cost.macs / 1e9:.2f} GMACs, tokens {cost.tokens}")
    if classifier.report is not None:
        print(classifier.report)
