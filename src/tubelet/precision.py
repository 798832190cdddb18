"""In what precision a device computes fastest without another answer: what `dtype="auto"` means."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """A choice, and why."""

    dtype: torch.dtype
    reason: str
    """A clause, such as "this CPU has AMX"."""


def fastest_precision(device: torch.device) -> Precision:
    """bfloat16 where the device multiplies matrices of it in hardware, else float32.

    bfloat16 has the range of float32, so nothing overflows; float16, which can, is never chosen.
    """
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Precision(
                torch.bfloat16, f"{torch.cuda.get_device_name(device)} has bfloat16 tensor cores"
            )
        return Precision(torch.float32, f"{torch.cuda.get_device_name(device)} has no bfloat16 tensor cores")
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        for capability, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
            if has.get(capability):
                return Precision(torch.bfloat16, f"this CPU has {name}")
        return Precision(torch.float32, "this CPU has neither AMX nor AVX512-BF16")
    return Precision(torch.float32, f"what {device.type} does faster is not known")
