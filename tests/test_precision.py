"""What `dtype="auto"` chooses."""

import pytest
import torch
from rich.console import Console

from tubelet.cli.console import chosen_dtype
from tubelet.precision import fastest_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capability", "dtype", "reason"),
    [
        ("amx_bf16", torch.bfloat16, "this CPU has AMX"),
        ("avx512_bf16", torch.bfloat16, "this CPU has AVX512-BF16"),
        ("avx2", torch.float32, "this CPU has neither AMX nor AVX512-BF16"),
    ],
)
def test_of_a_cpu(
    capability: str,
    dtype: torch.dtype,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    found = fastest_precision(CPU)
    assert (found.dtype, found.reason) == (dtype, reason)
    assert chosen_dtype("auto", CPU, Console()) == dtype
    assert reason in capsys.readouterr().out
    assert chosen_dtype("float16", CPU, Console()) == torch.float16
    assert capsys.readouterr().out == ""


def test_of_what_is_not_known() -> None:
    assert fastest_precision(torch.device("mps")).dtype == torch.float32
