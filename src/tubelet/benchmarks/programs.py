"""What is measured: a model of Tubelet or of another library, loaded from the same folder, answering or learning."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tubelet.classifier import Classifier
from tubelet.labels import Labels
from tubelet.layers.heap import give_back_large_blocks
from tubelet.loading import load
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights.to_huggingface import write_huggingface

Library = Literal["Tubelet", "transformers", "vit-pytorch"]
MODULES: dict[Library, str] = {
    "Tubelet": "tubelet.loading",
    "transformers": "transformers",
    "vit-pytorch": "vit_pytorch",
}


def is_installed(library: Library) -> bool:
    """Whether a library can be measured here."""
    return find_spec(MODULES[library].partition(".")[0]) is not None


def write_model(config: ViViTConfig, folder: Path) -> Path:
    """A model of random weights, the head's too, as a folder: Hugging Face's where it can be, else Tubelet's."""
    generator = torch.Generator().manual_seed(0)
    model = ViViT(config, generator)
    nn.init.normal_(model.head.weight, std=0.02, generator=generator)
    labels = Labels.numbered(config.classes)
    if config.attention == "joint":
        size = {"height": config.pixels[0], "width": config.pixels[1]}
        processor = {"do_normalize": False, "crop_size": size}
        write_huggingface(model, View.huggingface(processor, frames=config.frames), labels, folder)
    else:
        Classifier(
            model, View(frames=config.frames, stride=2, size=config.size, value_range=(-1.0, 1.0)), labels
        ).save(folder)
    return folder


@dataclass(frozen=True, kw_only=True)
class Program:
    """A model at work. Plain values, so that it can be built again in a process of its own."""

    library: Library
    folder: str
    """Of `write_model`."""
    batch: int = 1
    frames: int
    size: int
    dtype: str = "float32"
    device: str = "cpu"
    training: bool = False
    """A step: forward, cross-entropy, backward, SGD with momentum; else only the answer."""
    checkpointing: bool = False
    compiled: bool = False

    def build(self) -> Callable[[], Tensor]:
        """Runs once when called, and returns logits, or the loss of a step, on the device."""
        dtype, device = getattr(torch, self.dtype), torch.device(self.device)
        model = MODELS[self.library](Path(self.folder), dtype).to(device)
        if self.checkpointing:
            checkpoint(model)
        forward = torch.compile(model, dynamic=False) if self.compiled else model
        generator = torch.Generator().manual_seed(1)
        shape = (self.batch, self.frames, 3, self.size, self.size)
        clips = (torch.rand(shape, generator=generator) * 2 - 1).to(device, dtype)
        if not self.training:
            model.eval()

            def answer() -> Tensor:
                # inference_mode's tensors and a compiled graph do not go together in every version.
                with torch.no_grad() if self.compiled else torch.inference_mode():
                    return logits_of(forward(clips))

            return answer
        optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-3, momentum=0.9)
        truth = torch.arange(self.batch, device=device)

        def step() -> Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(logits_of(forward(clips)).float(), truth)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step


def logits_of(answer: Any) -> Tensor:
    """Of any library."""
    return answer if isinstance(answer, Tensor) else answer.logits


def our_model(folder: Path, dtype: torch.dtype) -> nn.Module:
    """Tubelet's."""
    return load(folder).model.to(dtype=dtype)


def their_model(folder: Path, dtype: torch.dtype) -> nn.Module:
    """That of `transformers`, with PyTorch's fused attention."""
    from transformers import VivitForVideoClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return VivitForVideoClassification.from_pretrained(folder, attn_implementation="sdpa", dtype=dtype)


def vit_pytorch_model(folder: Path, dtype: torch.dtype) -> nn.Module:
    """vit-pytorch's factorised encoder of equal size: it has no biases of query, key and value, and other norms."""
    from vit_pytorch.vivit import ViViT as Other  # pyright: ignore[reportMissingImports]

    config = load(folder).model.config
    model = Other(
        image_size=config.size, image_patch_size=config.tubelet[1], frames=config.frames,
        frame_patch_size=config.tubelet[0], num_classes=sum(config.classes), dim=config.width,
        spatial_depth=config.depth, temporal_depth=config.temporal_depth, heads=config.heads, mlp_dim=config.hidden,
        dim_head=config.width // config.heads,
    )  # fmt: skip
    model.register_forward_pre_hook(channels_first)
    return model.to(dtype)


def channels_first(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """`(B, F, C, H, W)` as vit-pytorch takes it, without a copy."""
    return (inputs[0].transpose(1, 2),)


MODELS: dict[Library, Callable[[Path, torch.dtype], nn.Module]] = {
    "Tubelet": our_model,
    "transformers": their_model,
    "vit-pytorch": vit_pytorch_model,
}


def checkpoint(model: Any) -> None:
    """Recompute activations in the backward pass, each library by its own switch; ours as trainings do it."""
    if isinstance(model, ViViT):
        model.checkpoint_activations()
        if model.device.type == "cpu":
            give_back_large_blocks()
    else:
        # Renamed in transformers 5.
        enable = (
            getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        )
        enable()


@dataclass(frozen=True)
class Memory:
    """Of a program in a process of its own."""

    imported: int
    """Bytes that Python, PyTorch and the library hold before there is a model."""
    peak: int
    """The most bytes that the process held; on a GPU the most that PyTorch had allocated there."""


def measure_memory(program: Program, threads: int) -> Memory:
    """Run a program twice in a process of its own.

    Raises:
        RuntimeError: with what the process said, if it failed.
    """
    command = [sys.executable, "-m", "tubelet.benchmarks.programs", json.dumps(asdict(program))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{done.stderr[-2000:]}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def held(most: bool) -> int:
    """Bytes that this process holds, or the most that it ever held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not what getrusage calls the most: that counts what the process that started this one held.
    wanted = "VmHWM:" if most else "VmRSS:"
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(wanted))
    return int(line.split()[1]) * 1024


def main() -> None:
    """The process of its own: prints `Memory` as JSON."""
    program = Program(**json.loads(sys.argv[1]))
    __import__(MODULES[program.library])
    if program.library == "transformers":
        __import__("transformers.models.vivit.modeling_vivit")
    imported = held(most=False)
    run = program.build()
    for _ in range(2):
        run()
    on_gpu = program.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() if on_gpu else held(most=True)
    print(json.dumps(asdict(Memory(imported, peak))))


if __name__ == "__main__":
    main()
