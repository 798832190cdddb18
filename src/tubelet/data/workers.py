"""The processes that decode for a loader: how they are set up, and what it means when one dies."""

import signal
from collections.abc import Generator
from contextlib import contextmanager

import torch

from tubelet.errors import TubeletError


def single_thread(_: int) -> None:
    """One thread for each worker: the workers are the parallelism."""
    torch.set_num_threads(1)


def quiet(worker: int) -> None:
    """One thread for each worker, and Ctrl-C is the trainer's: it still wants what the worker decodes."""
    single_thread(worker)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def worker_deaths() -> Generator[None]:
    """Around the use of loaders: says what happened when a worker was killed.

    PyTorch notices it in a signal handler, and raises wherever the main process happens to be.

    Raises:
        TubeletError: in place of PyTorch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        first = str(error).partition(".")[0]
        raise TubeletError(
            f"A process that decodes videos died ({first.removeprefix('DataLoader ')}). When the system kills one, "
            "memory ran out: use fewer workers, and do not keep decoded clips. When it crashed, a file may be the "
            "cause: `tubelet check` with 0 workers stops at it. The same command goes on from what was saved."
        ) from error
