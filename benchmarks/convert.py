"""Time and memory of converting a ViViT-B with random weights, from Hugging Face's folder and back.

`python benchmarks/convert.py --out benchmarks` runs `tubelet convert` in a process of its own for
each row, and prints its wall-clock time and the most memory that it held, everything counted: Python and PyTorch
too, whose own share is the first row. Fails above 20 seconds, or three times the size of the file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# PyTorch is imported in child processes only: what the parent of a process holds is counted as the child's.
WRITE = """
import sys, torch, tubelet
from tubelet.weights.to_huggingface import write_huggingface
model = tubelet.ViViT(tubelet.variant("b-16x2"))
torch.nn.init.normal_(model.head.weight, std=0.02)
view = tubelet.View.huggingface({"do_normalize": False})
write_huggingface(model, view, tubelet.Labels.numbered([400]), __import__("pathlib").Path(sys.argv[1]))
"""
PICKLE = """
import pathlib, sys, torch
from safetensors.torch import load_file
source, target = map(pathlib.Path, sys.argv[1:])
target.mkdir()
for name in ("config.json", "preprocessor_config.json"):
    (target / name).write_bytes((source / name).read_bytes())
torch.save(load_file(source / "model.safetensors"), target / "pytorch_model.bin")
"""
COMPARE = """
import sys, torch
from safetensors.torch import load_file
one, other = (load_file(f"{folder}/model.safetensors") for folder in sys.argv[1:])
sys.exit(one.keys() != other.keys() or not all(torch.equal(t, other[name]) for name, t in one.items()))
"""
ABOUT = """`python benchmarks/convert.py`: a ViViT-B for Kinetics-400 with random weights, {:.1f} MB, converted from
Hugging Face's folder and back, each time once and by a process of its own. Memory is the most that the process held,
everything counted; Python and PyTorch alone, with nothing loaded, are the first row. After both ways every tensor is
what it was. The bounds are 20 seconds and three times the size of the file; the script fails above them. What keeps
memory down: models are made without numbers and filled with the file's own tensors, and a safetensors file is mapped
a few tensors at a time."""


def measure(*arguments: object) -> tuple[float, int]:
    """Seconds, and bytes of the most memory held, of a Python process of these arguments."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(map(str, arguments))} failed.")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def convert(*arguments: object) -> tuple[float, int]:
    """`measure` of `tubelet convert`."""
    return measure("-m", "tubelet.cli", "convert", *arguments)


def report(rows: dict[str, tuple[float, int]], size: int, taken: float, out: Path | None) -> None:
    """Print the table, and write it into a folder."""
    # Imported now that everything is measured: they bring PyTorch.
    from rich.console import Console

    from tubelet.benchmarks.machine import Machine
    from tubelet.benchmarks.record import Record

    record = Record(
        name="convert",
        title="Converting",
        about=ABOUT.format(size / 1e6),
        columns=("", "time", "peak memory", "of the file"),
        rows=[
            (name, f"{seconds:.1f} s", f"{peak / 1e6:.0f} MB", f"{peak / size:.2f}x")
            for name, (seconds, peak) in rows.items()
        ],
        machine=str(Machine.here()),
        seconds=taken,
        measured={
            "file_bytes": size,
            "rows": {
                name: {"seconds": seconds, "peak_bytes": peak} for name, (seconds, peak) in rows.items()
            },
        },
    )
    Console().print(record.table())
    if out:
        record.write(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder of convert.json")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        theirs, pickled, ours, back = (Path(scratch, name) for name in ("theirs", "pickled", "ours", "back"))
        measure("-c", WRITE, theirs)
        measure("-c", PICKLE, theirs, pickled)
        size = (theirs / "model.safetensors").stat().st_size
        rows = {
            "import tubelet and torch": measure("-c", "import tubelet.loading"),
            "Hugging Face to Tubelet": convert(theirs, ours),
            "pytorch_model.bin to Tubelet": convert(pickled, f"{scratch}/ours too"),
            "Tubelet to Hugging Face": convert(ours, back, "--to", "huggingface"),
        }
        measure("-c", COMPARE, theirs, back)
    report(rows, size, time.perf_counter() - begun, arguments.out)
    if any(seconds > 20 or peak > 3 * size for seconds, peak in rows.values()):
        sys.exit("Above 20 seconds, or three times the size of the file.")


if __name__ == "__main__":
    main()
