"""Where tables go."""

from rich.console import Console


def stdout() -> Console:
    """Standard output: as wide as the terminal, or 120 characters where it is none."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
