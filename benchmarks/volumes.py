"""AdrenalMNIST3D as videos: `python benchmarks/volumes.py adrenalmnist3d_64.npz adrenal` writes train, val and test.

A volume becomes one lossless file (FFV1) of 192 frames: its 64 slices along the first axis, along the second, then
along the third. `--one-direction` writes the first 64 alone.
"""

import argparse
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

CLASSES = ("normal", "hyperplasia")


def slices(volume: NDArray[np.uint8], directions: int) -> NDArray[np.uint8]:
    """(64, 64, 64) as (64 x directions, 64, 64)."""
    return np.concatenate([np.moveaxis(volume, axis, 0) for axis in range(directions)])


def write(file: Path, frames: NDArray[np.uint8]) -> None:
    """Grey levels (F, H, W) as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        for frame in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray"))
            )
        container.mux(stream.encode(None))


def main() -> None:
    """All splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--one-direction", action="store_true")
    arguments = parser.parse_args()
    stored = np.load(arguments.arrays)
    for split in ("train", "val", "test"):
        labels = stored[f"{split}_labels"][:, 0]
        for number, (volume, label) in enumerate(zip(stored[f"{split}_images"], labels, strict=True)):
            file = arguments.out / split / CLASSES[int(label)] / f"{number:04}.mkv"
            write(file, slices(volume, 1 if arguments.one_direction else 3))


if __name__ == "__main__":
    main()
