"""Where tables go, and what several commands say."""

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    import torch


def stdout() -> Console:
    """Standard output: as wide as the terminal, or 120 characters where it is none."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def chosen_dtype(name: str, device: "torch.device", errors: Console) -> "torch.dtype":
    """That of a name, or for "auto" the fastest of the device, which is said on standard error."""
    import torch

    from tubelet.precision import fastest_precision

    if name != "auto":
        return getattr(torch, name)
    choice = fastest_precision(device)
    errors.print(
        f"Computing in {str(choice.dtype).removeprefix('torch.')}: {choice.reason}.", highlight=False
    )
    return choice.dtype
