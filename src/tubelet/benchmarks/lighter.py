"""What fewer tokens and low precision gain: times of Models 1 and 2 with random weights, each setting in turn."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tubelet.benchmarks.record import Record
from tubelet.benchmarks.settings import Settings, Workplace, compare, machine_line, spread
from tubelet.loading import load
from tubelet.models.config import ViViTConfig
from tubelet.models.cost import count_cost
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.models.placing import place, twin
from tubelet.models.vivit import ViViT
from tubelet.precision import fastest_precision


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a model is made lighter."""

    name: str
    fewer: FewerTokens | None = None
    dtype: torch.dtype = torch.float32


SETTINGS = (
    Setting(name="float32, all tokens"),
    Setting(name="bfloat16", dtype=torch.bfloat16),
    Setting(name="int8", dtype=torch.int8),
    *(Setting(name=f"merge {share}", fewer=FewerTokens(merge=share)) for share in (0.05, 0.1, 0.2, 0.3)),
    Setting(name="drop, half of the picture still", fewer=FewerTokens(drop=0.01)),
    Setting(name="int8, merge 0.1", fewer=FewerTokens(merge=0.1), dtype=torch.int8),
)


def lighter_table(settings: Settings) -> Record:
    """Answers of Models 1 and 2, one clip, of the exact model and of lighter ones."""
    begun, machine, device = time.perf_counter(), machine_line(), settings.where()
    rows: list[tuple[str, ...]] = []
    seconds: dict[str, Any] = {}
    macs: dict[str, dict[str, int | None]] = {}
    dtypes = {
        torch.float32,
        fastest_precision(device).dtype,
    }  # the forward table says what bfloat16 costs elsewhere
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        dtypes.add(torch.int8)
    chosen = [one for one in SETTINGS if one.dtype in dtypes]
    with Workplace() as workplace:
        for model, suffix in (("Model 1", ""), ("Model 2", "-fe")):
            config = settings.config(suffix)
            exact = load(workplace.model(config)).model
            programs = {one.name: program(exact, one, settings) for one in chosen}
            found = compare(settings, programs, None)
            seconds[model] = found.seconds
            macs[model] = {one.name: computed_macs(config, one) for one in chosen}
            for number, one in enumerate(chosen):
                rows.append(
                    (
                        "" if number else model,
                        one.name,
                        "" if (count := macs[model][one.name]) is None else f"{count / 1e9:.1f}",
                        spread(found.time(one.name), " s"),
                        spread(found.faster(one.name), "x") if number else "",
                    )
                )
    return Record(
        name="lighter",
        title="Fewer tokens and low precision",
        about=f"`tubelet bench lighter`: {settings.named()} and its Model 2, random weights, one clip of "
        f"{settings.frames} frames of {settings.size}x{settings.size} pixels, whose right half does not change. "
        "These are other answers than the exact model's: the tables below say what that costs trained models. "
        "*GMACs* count what is computed; there are none where they depend on the video.",
        columns=("model", "setting", "GMACs", "time", "times as fast"),
        rows=rows,
        machine=machine,
        seconds=time.perf_counter() - begun,
        measured={"seconds": seconds, "macs": macs},
    )  # fmt: skip


def program(exact: ViViT, setting: Setting, settings: Settings) -> Callable[[], Tensor]:
    """Answers one clip with a setting, by the weights of the exact model."""
    model = twin(exact).eval()
    place(model, settings.where(), setting.dtype)
    model.answer_from(setting.fewer)
    shape = (1, settings.frames, 3, settings.size, settings.size)
    clip = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    clip[..., settings.size // 2 :] = clip[:, :1, ..., settings.size // 2 :]
    clip = clip.to(settings.where(), model.embedding.weight.dtype)

    @torch.inference_mode()
    def answer() -> Tensor:
        return model(clip).float()

    return answer


def computed_macs(config: ViViTConfig, setting: Setting) -> int | None:
    """Multiply-adds of a clip; None where they depend on what it shows."""
    fewer = setting.fewer
    by_content = fewer is not None and (fewer.drop, fewer.drop_frames) != (None, None)
    return None if by_content else count_cost(config, fewer).computed_macs
