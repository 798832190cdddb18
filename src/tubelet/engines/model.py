"""`EngineModel`: an exported file in the place of a `ViViT`. It answers; nothing else can be asked of it."""

import hashlib
from pathlib import Path
from typing import Any, NoReturn, Self

import torch
from torch import Tensor, nn

from tubelet.engines.description import Description
from tubelet.engines.run import Run, open_exported
from tubelet.errors import ConfigError
from tubelet.models.fewer_tokens import FewerTokens
from tubelet.models.vivit import ViViT
from tubelet.video.view import View

LEVELS = 256


class EngineModel(ViViT):
    """A model that is run by another program, on the CPU.

    It takes what the view makes, as every model does: where the value step is part of its graph, the values are
    turned back into the levels that they came from, which is exact.

    Args:
        path: the file.
        description: what it says of itself.
        run: its engine.
    """

    def __init__(self, path: Path, description: Description, run: Run) -> None:
        nn.Module.__init__(self)  # there are no layers to make
        self.config = description.config.resolved()
        self.description = description
        self.path = path
        self.run = run
        self.fewer_tokens: FewerTokens | None = None
        digest = hashlib.sha256(description.to_json().encode())
        for file in (path, path.with_suffix(".bin")):
            if file.exists() and (file == path or description.format == "openvino"):
                with file.open("rb") as stream:
                    while piece := stream.read(2**20):
                        digest.update(piece)
        self.sha256 = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)

    @property
    def device(self) -> torch.device:
        """Where it takes clips."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the clips that it takes, and of its logits; `description.dtype` is that inside."""
        return torch.float32

    def forward(self, video: Tensor, every_token: bool = False) -> Tensor:
        """As `ViViT.forward`, of clips of the file's own frames and size, any number of them.

        What is computed of which token is settled in the file.
        """
        shape = self.description.clip_shape
        if tuple(video.shape[1:]) != shape:
            raise ConfigError(
                f"{self.path} takes clips (frames, channels, height, width) of {shape}, and these are "
                f"{tuple(video.shape[1:])}: frames and size are fixed in an exported file. Export the model again "
                "with --frames or --size."
            )
        if self.description.with_preprocessing:
            video = levels_of(self.description.view, video)
        return self.run(video)[0]

    def to(self, device: Any = None, dtype: Any = None) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Stays where it is.

        Raises:
            ConfigError: for another device or precision.
        """
        if device is not None and torch.device(device) != self.device:
            self.refuse(f"is run on the CPU, not on {device}")
        if dtype is not None and dtype != self.dtype:
            self.refuse(
                f"computes in the {self.description.dtype} that it was exported in, and cannot be turned"
            )
        return self

    def float(self) -> Self:
        """Refused, for what asks is about to change its layers."""
        self.refuse(f"computes in the {self.description.dtype} that it was exported in, and cannot be turned")

    def answer_from(self, fewer_tokens: FewerTokens | None) -> None:
        """Refused."""
        self.refuse("computes all of its tokens")

    def state_dict(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refused."""
        self.refuse("keeps its weights to itself")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.refuse("cannot be copied or changed")

    def __getattr__(self, name: str) -> Any:
        """What `ViViT` has besides is not there."""
        if name in ("embedding", "encoder", "spatial", "temporal", "head", "pooled_norm", "representation"):
            self.refuse("answers, and cannot be looked into, trained or saved")
        return super().__getattr__(name)

    def refuse(self, why: str) -> NoReturn:
        """Say that this takes the model that the file was made from."""
        raise ConfigError(f"{self.path} is an exported model: it {why}. Use the model that it was made from.")


def levels_of(view: View, values: Tensor) -> Tensor:
    """The inverse of `View.normalise`: float `(..., C, H, W)` of values that it made, to uint8."""
    ends = torch.tensor([0, LEVELS - 1], dtype=torch.uint8)
    low, high = view.normalise(ends[:, None, None, None].expand(2, view.channels, 1, 1))
    return ((values - low) * ((LEVELS - 1) / (high - low))).round().clamp(0, LEVELS - 1).to(torch.uint8)


def read_exported(path: Path, trust: bool = False) -> EngineModel:
    """The model in an exported file; errors as for `open_exported`."""
    return EngineModel(path, *open_exported(path, trust))
