"""What happens when a process that decodes dies."""

import os
import signal

import pytest
from torch.utils.data import DataLoader, Dataset

from tubelet.data.workers import worker_deaths
from tubelet.errors import TubeletError


class Fatal(Dataset[int]):
    """The third item kills who asks for it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_says_that_a_worker_was_killed() -> None:
    @worker_deaths()
    def read() -> list[int]:
        return list(DataLoader(Fatal(), batch_size=None, num_workers=1))

    for _ in range(2):  # the decorated function may be called again
        with pytest.raises(TubeletError, match=r"died \(worker \(pid.*memory ran out"):
            read()


def test_lets_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match=r"^something else"), worker_deaths():
        raise RuntimeError("something else")
