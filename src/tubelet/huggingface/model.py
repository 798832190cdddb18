"""A ViViT as a model of transformers."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput

from tubelet.errors import ConfigError
from tubelet.huggingface.config import TubeletConfig
from tubelet.layers.embedding import Positions, TubeletEmbedding
from tubelet.layers.encoder import Encoder
from tubelet.models.recording import record
from tubelet.models.vivit import ViViT, lecun_normal
from tubelet.training.loss import cross_entropy


class TubeletPreTrainedModel(PreTrainedModel):
    """A ViViT whose tensors are named as the ViViT's own, its head included: what is saved is a Tubelet folder."""

    config: TubeletConfig
    main_input_name = "pixel_values"
    input_modalities = "video"
    supports_gradient_checkpointing = False  # ViViT.checkpoint_activations does it
    _supports_sdpa = True

    def __init__(self, config: TubeletConfig) -> None:
        super().__init__(config)
        self._no_split_modules = ["Block"]
        config.settle()
        vivit = ViViT(config.vivit())
        self.__dict__["_vivit"] = vivit  # not registered itself, else its name would stand before all others
        self._modules = vivit._modules  # its parts are this model's parts, whoever replaces one
        for parameter in self.parameters():
            parameter._is_hf_initialized = not parameter.is_meta  # pyright: ignore[reportAttributeAccessIssue]
        self.post_init()

    @property
    def vivit(self) -> ViViT:
        """The model itself, whose parts these are."""
        return self.__dict__["_vivit"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """New weights for what a file lacks, such as a head for other classes: as a new ViViT's."""
        if isinstance(module, Positions):
            if module.learned:
                nn.init.normal_(module.table, std=0.02)
            else:
                module.table.copy_(module.fixed_table())
        elif isinstance(module, TubeletEmbedding):
            lecun_normal(module.weight, None)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Encoder) and module.class_token is not None:
            nn.init.zeros_(module.class_token)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            if module is self.vivit.head:
                nn.init.zeros_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                nn.init.zeros_(module.bias)

    def wanted(self, states: bool | None, weights: bool | None) -> tuple[bool, bool]:
        """Whether hidden states and attention weights are asked for, here or by the config."""
        config = self.config
        return (
            bool(config.output_hidden_states if states is None else states),
            bool(config.output_attentions if weights is None else weights),
        )


class TubeletModel(TubeletPreTrainedModel):
    """The tokens of a ViViT and the one vector that they become."""

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """The tokens after the last norm, and what the head sees as `pooler_output`.

        Args:
            pixel_values: float `(B, F, C, H, W)`.
            output_hidden_states: add the hidden states; see `tubelet.models.recording.Recording`.
            output_attentions: add the attention weights; likewise.
            return_dict: False gives a tuple.
        """
        states, weights = self.wanted(output_hidden_states, output_attentions)
        found = record(self.vivit, pixel_values, weights)
        output = BaseModelOutputWithPooling(
            last_hidden_state=found.last_hidden_state,  # pyright: ignore[reportArgumentType]
            pooler_output=found.features,  # pyright: ignore[reportArgumentType]
            hidden_states=found.hidden_states if states else None,  # pyright: ignore[reportArgumentType]
            attentions=found.attentions if weights else None,  # pyright: ignore[reportArgumentType]
        )
        return output.to_tuple() if return_dict is False else output


class TubeletForVideoClassification(TubeletPreTrainedModel):
    """A ViViT with its head: logits, and a loss where labels are given."""

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> ImageClassifierOutput | tuple[Any, ...]:
        """Logits `(B, sum(classes))`, the heads one after the other.

        Args:
            pixel_values: float `(B, F, C, H, W)`.
            labels: for one head what transformers' video classifiers take: int64 `(B,)`, or float `(B, classes)`
                for a multi-label head, or float `(B,)` for one of a single class, which is a regression. For
                several heads int64 `(B, heads)`, -1 where there is none.
            output_hidden_states: see `TubeletModel.forward`.
            output_attentions: see `TubeletModel.forward`.
            return_dict: False gives a tuple.

        Raises:
            ConfigError: for labels where one of several heads is multi-label: there is no loss for them here.
        """
        states, weights = self.wanted(output_hidden_states, output_attentions)
        found = record(self.vivit, pixel_values, weights) if states or weights else None
        logits = self.vivit(pixel_values) if found is None else found.logits
        output = ImageClassifierOutput(
            loss=None if labels is None else self.loss(logits, labels),  # pyright: ignore[reportArgumentType]
            logits=logits,
            hidden_states=found.hidden_states if found and states else None,  # pyright: ignore[reportArgumentType]
            attentions=found.attentions if found and weights else None,  # pyright: ignore[reportArgumentType]
        )
        return output.to_tuple() if return_dict is False else output

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss that transformers has for one head; the mean of the heads' cross-entropies for several."""
        classes = self.config.classes()
        if len(classes.heads) == 1:
            return ForSequenceClassificationLoss(labels, logits, self.config)
        if any(head.kind != "single" for head in classes.heads):
            raise ConfigError(
                "There is no loss for several heads of which one is multi-label or a number: leave labels out."
            )
        return cross_entropy(logits, labels, classes)
