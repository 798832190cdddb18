"""The command line: `tubelet COMMAND`, one of `COMMANDS`.

Only this package knows of tyro. A command's module is imported when it runs, and PyTorch only when it is needed,
so that `tubelet --help` is quick.
"""

import sys
import warnings
from importlib import import_module

from tubelet.errors import TubeletError

COMMANDS: dict[str, str] = {
    "predict": "what happens in videos",
    "stream": "what happens now: a webcam, a network stream, standard input",
    "timeline": "what happens when in a video of any length",
    "train": "train on a folder of your own clips, or a recipe",
    "doctor": "what is wrong with a training, before it starts or after it ended",
    "evaluate": "how often a model is right on a dataset",
    "report": "an evaluation as a page to look at",
    "explain": "where a model looked in a video, and which moments decided",
    "features": "what a model makes of many videos, as vectors in a file",
    "probe": "what simple classifiers read off features",
    "search": "which videos are like a clip",
    "threshold": "below which probability a model should answer unknown",
    "check": "what is wrong with a dataset: broken files, duplicates, leaks",
    "shard": "a dataset as tar files, to stream from the disk or over HTTP",
    "info": "what a model is and what it costs",
    "bench": "how fast the models are on this machine",
    "serve": "answers over HTTP, and a page to try it on",
    "export": "a model as a file for another program, checked by running it",
    "convert": "any known weights into a Tubelet folder, or into Hugging Face's",
}
"""Each has a module of its name here, whose `main(prog, arguments)` returns the exit code."""


def main() -> None:
    """Run one command and end with its exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in COMMANDS:
        sys.exit(usage(arguments))
    command = arguments[0]
    warnings.formatwarning = warning
    try:
        module = import_module(f"tubelet.cli.{command}")
        sys.exit(module.main(f"tubelet {command}", arguments[1:]))
    except (TubeletError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def warning(message: Warning | str, *_: object) -> str:
    """How a warning is printed: what it says, and not where in the code."""
    return f"Warning: {message}\n"


def usage(arguments: list[str]) -> int:
    """Print the version or the list of commands: to standard output if asked for, else as an error."""
    if arguments == ["--version"]:
        from tubelet import __version__

        print(f"tubelet {__version__}")
        return 0
    asked = arguments in (["-h"], ["--help"])
    out = sys.stdout if asked else sys.stderr
    if arguments and not asked:
        print(f"There is no command {arguments[0]!r}.\n", file=out)
    print("usage: tubelet COMMAND ...   (tubelet COMMAND --help tells more)\n", file=out)
    for name, about in COMMANDS.items():
        print(f"  {name:10}{about}", file=out)
    return 0 if asked else 2
