"""The graph of a model: any number of clips of one shape in; logits out, and on request what each block makes."""

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tubelet.classifier import Classifier
from tubelet.engines.description import Description
from tubelet.engines.model import EngineModel
from tubelet.errors import ConfigError
from tubelet.lora import has_adapters
from tubelet.models.recording import record
from tubelet.models.vivit import ViViT
from tubelet.video.view import View

MOST_CLIPS = 65_535
"""Of a batch. Any bound serves: torch.export wants to know one for its checks."""


class Graph(nn.Module):
    """What is exported around a model: the value step, the precision inside, float32 outside.

    Args:
        model: in the precision inside.
        view: its value step is done first, on uint8 clips; None: clips are float32 and have had it.
        with_blocks: give out the tokens before the first block and after each, besides the logits.
    """

    def __init__(self, model: ViViT, view: View | None, with_blocks: bool = False) -> None:
        super().__init__()
        self.model = model
        self.view = view
        self.with_blocks = with_blocks

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Clips `(B, F, C, H, W)` to logits `(B, sum(classes))`, then blocks' tokens, all in float32."""
        values = (video if self.view is None else self.view.normalise(video)).to(self.model.head.weight.dtype)
        if not self.with_blocks:
            return (self.model(values).float(),)
        recording = record(self.model, values)
        return tuple(one.float() for one in (recording.logits, *recording.hidden_states))


@torch.no_grad()
def program_of(
    classifier: Classifier, description: Description, dtype: torch.dtype, with_blocks: bool = False
) -> ExportedProgram:
    """The graph by torch.export. The batch is free; frames and size are those of the view.

    Positions of another grid than the model's own are resampled on the way, and so are numbers in the graph.

    Args:
        classifier: stays as it is.
        description: of the file that it becomes.
        dtype: of the weights and of all that is computed inside.
        with_blocks: see `Graph`.
    """
    model = copy.deepcopy(classifier.model).to("cpu", dtype).eval().requires_grad_(False)
    view = description.view if description.with_preprocessing else None
    example = example_of(description)
    free = {"video": {0: Dim("batch", min=1, max=MOST_CLIPS)}}
    return torch.export.export(Graph(model, view, with_blocks), (example,), dynamic_shapes=free)


def example_of(description: Description, clips: int = 2) -> Tensor:
    """Random clips as the file takes them. Of one clip, torch.export would take the one for a fixed number."""
    shape = (clips, *description.clip_shape)
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return levels if description.with_preprocessing else description.view.normalise(levels)


def check_exportable(classifier: Classifier) -> None:
    """Refuse what has no graph that is right for all clips.

    Raises:
        ConfigError: for what is exported already, int8, fewer tokens or adapters.
    """
    model = classifier.model
    if isinstance(model, EngineModel):
        model.refuse("cannot be exported again")
    if classifier.dtype == torch.int8:
        raise ConfigError(
            "An int8 model is laid out for this processor and cannot be exported: export it as it was loaded; ONNX "
            "has an int8 of its own, --dtype int8."
        )
    if model.fewer_tokens is not None:
        raise ConfigError(
            "A model that answers from fewer tokens is not exported, for which it computes depends on the clip: "
            "export the exact model, before with_fewer_tokens."
        )
    if has_adapters(model):
        raise ConfigError("The model has adapters: merge them first, with tubelet.lora.merge(model).")
