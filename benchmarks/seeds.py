"""One training with several seeds: the mean accuracy, and its 95 % interval over clips and seeds.

`python benchmarks/seeds.py RESULTS... --json FILE` takes the folders that `tubelet evaluate` wrote, of the same
videos and of models that differ in nothing but the seed. The bootstrap draws seeds, and of the videos as many as
there are, both with replacement.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tubelet.errors import DataError
from tubelet.evaluation.results import Results, read_results

RESAMPLES = 10_000


def right(results: Results) -> Tensor:
    """Whether each video's first head is right, `(N,)`."""
    head = results.labels.heads[0]
    logits = results.labels.split(results.logits())[head.name]
    return (logits.argmax(dim=1) == results.classes()[:, 0]).double()


def main() -> None:
    """Print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [read_results(folder) for folder in arguments.results]
    if len({one.manifest.data_sha256 for one in found}) > 1 or any(one.failed for one in found):
        raise DataError("The evaluations must be of the same videos, all of which could be read.")
    table = torch.stack([right(one) for one in found])  # (seeds, videos)
    generator = torch.Generator().manual_seed(0)
    drawn: list[Tensor] = []
    for _ in range(RESAMPLES):
        seeds = torch.randint(table.shape[0], (table.shape[0],), generator=generator)
        videos = torch.randint(table.shape[1], (table.shape[1],), generator=generator)
        drawn.append(table[seeds][:, videos].mean())
    low, high = torch.stack(drawn).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    said = {
        "videos": table.shape[1],
        "top-1 of each seed": table.mean(dim=1).tolist(),
        "mean": float(table.mean()),
        "95 % interval over videos and seeds": [low, high],
    }
    shown = Table("", "found", title="Seeds")
    for name, value in said.items():
        shown.add_row(name, str(value))
    Console().print(shown)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
