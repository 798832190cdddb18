"""What an exported file says of itself: architecture, view, labels, and how it was made. JSON, inside the file."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from tubelet.errors import ConfigError, WeightsError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.video.view import View

Format = Literal["pt2", "aoti", "onnx", "openvino"]
"""`pt2`: a graph of torch.export. `aoti`: a library that PyTorch's compiler built for this kind of processor. `onnx`:
for ONNX Runtime and what reads its format. `openvino`: its intermediate representation, an `.xml` and a `.bin`."""
ExportDtype = Literal["float32", "float16", "int8"]
"""In what precision the file computes, or (OpenVINO's float16) keeps its weights. Logits are float32 in all."""

SUFFIXES: dict[str, str] = {"pt2": ".pt2", "aoti": ".pt2", "onnx": ".onnx", "openvino": ".xml"}
"""How the files of a format end."""
KEY = "tubelet"
"""Under which the description stands in a file."""
VERSION = 1
LONGEST = 2**24
"""Characters of a description that are read: a file may claim any number."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What an exported file says of itself."""

    format: Format
    dtype: ExportDtype
    config: ViViTConfig
    view: View
    labels: Labels
    with_preprocessing: bool
    """Whether frames go in as uint8, and the view's value step is part of the graph."""
    weights_sha256: str
    """Of the names, shapes and values of the weights that were exported."""
    versions: dict[str, str]
    """Of the programs that made the file."""

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Of every clip of a batch: (F, C, H, W)."""
        return self.view.frames, self.view.channels, self.view.height, self.view.width

    def to_json(self) -> str:
        """The text that stands in the file."""
        plain: dict[str, Any] = {
            **asdict(self),
            "version": VERSION,
            "config": self.config.to_dict(),
            "view": self.view.to_dict(),
            "labels": self.labels.to_dict(),
        }
        return json.dumps(plain, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | None, file: str) -> Self:
        """The inverse of `to_json`.

        Args:
            text: None where the file has none.
            file: what errors call it.

        Raises:
            WeightsError: if there is none, or not one that can be.
        """
        if text is None:
            raise WeightsError(
                f"{file} does not say what it is: it was not written by `tubelet export`, so nobody knows its labels "
                "and how it looks at a video."
            )
        try:
            if len(text) > LONGEST:
                raise ValueError(f"it is {len(text):,} characters long")
            values = json.loads(text)
            if values.pop("version") != VERSION:
                raise ValueError(f"it is not of version {VERSION}: export the model again")
            if values["format"] not in get_args(Format) or values["dtype"] not in get_args(ExportDtype):
                raise ValueError(f"{values['format']!r} in {values['dtype']!r} is not known")
            config, view = ViViTConfig.from_dict(values.pop("config")), View.from_dict(values.pop("view"))
            return cls(config=config, view=view, labels=Labels.from_dict(values.pop("labels")), **values)
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"What {file} says of itself is damaged: {error}") from error
