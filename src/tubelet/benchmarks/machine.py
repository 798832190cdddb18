"""On what something was measured, and what the best is that it could do."""

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tubelet.benchmarks.turns import on_cpu, on_gpu
from tubelet.cores import cores

LIBRARIES = ("torch", "transformers", "vit-pytorch", "numpy", "av", "torchcodec", "decord")


@dataclass(frozen=True)
class Machine:
    """What the numbers depend on."""

    processor: str
    cores: int
    """That this process may use."""
    threads: int
    """That PyTorch uses."""
    instructions: str
    """The widest that PyTorch's own kernels use."""
    gpu: str | None
    system: str
    versions: dict[str, str]
    load: float
    """How many programs ran, on average over the minute before: 0 is a machine to oneself."""

    @classmethod
    def here(cls) -> "Machine":
        """This one, now."""
        return cls(
            processor=processor(),
            cores=cores(),
            threads=torch.get_num_threads(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            system=f"{platform.system()} {platform.machine()}",
            versions={"python": platform.python_version(), **installed()},
            load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else float("nan"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """A line."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        gpu = "" if self.gpu is None else f"{self.gpu}; "
        return (
            f"{gpu}{self.processor}, {self.cores} cores, {self.threads} threads, {self.instructions}; {self.system}; "
            f"{versions}; load before {self.load}"
        )


def processor() -> str:
    """Its name, as the system gives it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def installed() -> dict[str, str]:
    """Versions of the libraries that are measured, where they are installed."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def matmul_peak(dtype: torch.dtype, device: torch.device, repeats: int = 5) -> float:
    """FLOP/s of the quickest of some products of two square matrices, a multiply-add counted as two."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> object:
        return one @ other

    seconds = on_gpu if device.type == "cuda" else on_cpu
    return 2 * side**3 / min(seconds(product) for _ in range(repeats + 2))
