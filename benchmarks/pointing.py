"""Whether explanations point at what carries the label: the pointing game, on models that were trained to see it.

`python benchmarks/pointing.py --json FILE` trains tiny models of each kind to tell three 4x4 patterns apart, one of
which is in each clip of noise, in one of 4x4x4 places. It then asks how often the largest value of the map is on
that place, and how much of the map is; beside it the same of models that have learned nothing. One place of 64 is
1.6 % by chance.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.explanation.truth import log_odds, marked_clips, random_model, tiny, trained_model

from tubelet.explanation.maps import gradient_map, rollout
from tubelet.explanation.trace import trace
from tubelet.models.vivit import ViViT

KINDS = {
    "Model 1, class token": ("joint", "class"),
    "Model 1, mean": ("joint", "mean"),
    "Model 2, class token": ("factorised_encoder", "class"),
    "Model 2, mean": ("factorised_encoder", "mean"),
    "Model 3": ("factorised_self_attention", "mean"),
    "Model 4": ("factorised_dot_product", "mean"),
}


def game(model: ViViT) -> dict[str, tuple[float, float]]:
    """Share of clips whose map is largest at the right place, and share of the map there, by method."""
    clips, truth, places = marked_clips(500, torch.Generator().manual_seed(9))
    traced = trace(model, clips, log_odds(truth))
    found: dict[str, tuple[float, float]] = {}
    for name, method in (("gradient", gradient_map), ("rollout", rollout)):
        values = method(traced).flatten(1)
        hits = (values.argmax(dim=1) == places).float().mean()
        found[name] = float(hits), float(values.gather(1, places[:, None]).mean())
    return found


def main() -> None:
    """Train, play, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = Table("model", "gradient: hits", "share", "rollout: hits", "share", "untrained: hits (both)")
    numbers: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name, kind in KINDS.items():
        config = tiny(*kind)
        found, chance = game(trained_model(config)), game(random_model(config))
        numbers[name] = {"trained": found, "untrained": chance}
        cells = [f"{value:.0%}" for method in found.values() for value in method]
        table.add_row(name, *cells, ", ".join(f"{hits:.0%}" for hits, _ in chance.values()))
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
