"""Large blocks go back to the system."""

import platform
import subprocess
import sys

import pytest

from tubelet.layers.heap import LARGE

FREES = """
import ctypes, sys
from pathlib import Path
from tubelet.layers.heap import give_back_large_blocks

def held():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

if sys.argv[1] == "told":
    assert give_back_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = int(sys.argv[2])
libc.free(libc.malloc(2 * size))  # from here on glibc takes such a block for one of its heap
before, large = held(), []
for _ in range(20):
    large.append(libc.malloc(size))
    ctypes.memset(large[-1], 1, size)
    small = libc.malloc(100_000)  # and stays
for block in large:
    libc.free(block)
print((held() - before) / (20 * size))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_blocks_between_small_ones_are_given_back() -> None:
    def kept(told: str) -> float:
        command = [sys.executable, "-c", FREES, told, str(LARGE)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert kept("untold") > 0.9
    assert kept("told") < 0.1
