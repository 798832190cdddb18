"""Makes the example clips: a virtual camera over photographs that scikit-image ships.

    pip install "tubelet[photographs]"
    python examples/make_clips.py examples/clips

| clip | what the camera does | photograph, licence |
| --- | --- | --- |
| pan_left | turns left | rocket, CC0 (SpaceX) |
| zoom_in | zooms in | coffee, CC0 (Rachel Michetti) |
| tilt_up | tilts up | coffee, CC0 (Rachel Michetti) |
| roll_right | rolls clockwise | chelsea, CC0 (Stefan van der Walt) |
| handheld | stands still in an unsteady hand | chelsea, CC0 (Stefan van der Walt) |
| still_then_cut | stands still; after 2.7 seconds the picture changes | chelsea, then rocket |

The camera-motion model was not trained on these three photographs.
"""

import math
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDTH, HEIGHT, RATE, SECONDS = 384, 216, 25, 4
Pose = tuple[float, float, float, float]
"""Where the camera looks: centre x, y (fractions of the photograph), width of its view (fraction), roll (radians)."""


def photograph(name: str) -> Image.Image:
    """A photograph of scikit-image's."""
    with Image.open(str(files("skimage") / "data" / name)) as picture:
        return picture.convert("RGB")


def look(picture: Image.Image, pose: Pose) -> Image.Image:
    """What the camera sees: the rectangle of the photograph around its centre, turned and brought to size."""
    x, y, breadth, roll = pose
    scale = breadth * picture.width / WIDTH
    cos, sin = math.cos(roll) * scale, math.sin(roll) * scale
    left = x * picture.width - cos * WIDTH / 2 + sin * HEIGHT / 2
    top = y * picture.height - sin * WIDTH / 2 - cos * HEIGHT / 2
    return picture.transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, (cos, -sin, left, sin, cos, top), Image.Resampling.BICUBIC
    )


def shaking(seed: int, strength: float) -> np.ndarray:
    """The drift of an unsteady hand: `(frames, 2)` smooth noise of about two to six swings a second."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(SECONDS * RATE) / RATE
    drift = np.zeros((len(seconds), 2))
    for swings in rng.uniform(2, 6, 8):
        drift += np.sin(2 * np.pi * (swings * seconds[:, None] + rng.random(2))) * rng.uniform(0.2, 0.5)
    return strength * drift


def write(path: Path, frame: Callable[[int], Image.Image]) -> None:
    """Film the frames as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "30", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(SECONDS * RATE):
            container.mux(stream.encode(av.VideoFrame.from_image(frame(number))))
        container.mux(stream.encode(None))


def main(folder: Path) -> None:
    """Make all clips."""
    folder.mkdir(parents=True, exist_ok=True)
    rocket, coffee, cat = (photograph(name) for name in ("rocket.jpg", "coffee.png", "chelsea.png"))
    last = SECONDS * RATE - 1
    drift = shaking(1, 0.02)

    def move(picture: Image.Image, start: Pose, end: Pose) -> Callable[[int], Image.Image]:
        def frame(number: int) -> Image.Image:
            part = number / last
            a, b, c, d = (s + (e - s) * part for s, e in zip(start, end, strict=True))
            if start[2] != end[2]:  # a steady zoom is geometric
                c = start[2] * (end[2] / start[2]) ** part
            return look(picture, (a, b, c, d))

        return frame

    clips: dict[str, Callable[[int], Image.Image]] = {
        "pan_left": move(rocket, (0.76, 0.5, 0.45, 0), (0.24, 0.5, 0.45, 0)),
        "zoom_in": move(coffee, (0.5, 0.5, 0.95, 0), (0.5, 0.5, 0.3, 0)),
        "tilt_up": move(coffee, (0.5, 0.8, 0.4, 0), (0.5, 0.22, 0.4, 0)),
        "roll_right": move(cat, (0.5, 0.5, 0.5, -0.6), (0.5, 0.5, 0.5, 0.6)),
        "handheld": lambda n: look(cat, (0.5 + drift[n, 0], 0.5 + drift[n, 1], 0.6, 0)),
        "still_then_cut": lambda n: (
            look(cat, (0.5, 0.5, 0.7, 0)) if n < 68 else look(rocket, (0.5, 0.5, 0.6, 0))
        ),
    }
    for name, frame in clips.items():
        write(folder / f"{name}.mp4", frame)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples/clips"))
