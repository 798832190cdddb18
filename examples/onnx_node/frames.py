"""The frames of a video as answer.js takes them, and what the model says of itself: see README.md."""

import sys
from pathlib import Path

import tubelet
from tubelet.engines.run import open_exported


def main(model: str, video: str, frames: str, description: str) -> None:
    """Write the clips of a video, uint8 red green blue, and the description as JSON."""
    found, _ = open_exported(Path(model))
    with tubelet.Video(video) as opened:
        pixels = found.view.test_uint8(opened).pixels  # (clips, frames, 3, height, width)
    Path(frames).write_bytes(pixels.permute(0, 1, 3, 4, 2).contiguous().numpy().tobytes())
    Path(description).write_text(found.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:5])
