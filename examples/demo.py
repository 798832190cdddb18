"""What `make demo` runs: what the camera does in the example clips, and in a video of yours.

    python examples/demo.py [--out FOLDER] [VIDEO ...]

The clips beside this file are made by make_clips.py from photographs that scikit-image ships.
"""

import argparse
import subprocess
import sys
from pathlib import Path

CLIPS = Path(__file__).parent / "clips"


def main() -> int:
    """Predict the clips, print the table, and say where the contact sheet is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", help="videos of yours to predict as well")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the contact sheet")
    options = parser.parse_args()
    sheet = next(
        path
        for number in range(1, 10_000)
        if not (path := options.out / (f"demo-{number}.png" if number > 1 else "demo.png")).exists()
    )
    program = Path(sys.executable).parent / "tubelet"
    command = [str(program), "predict", str(CLIPS), *options.videos, "--sheet", str(sheet)]
    print("$ tubelet " + " ".join(command[1:]), flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
