"""Familiar front doors: signatures that people know from elsewhere, with Tubelet's models behind them."""

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.config import AttentionKind, Order, ViViTConfig
from tubelet.models.vivit import ViViT

BACKBONES: dict[int, tuple[AttentionKind, Order | None]] = {
    3: ("factorised_self_attention", "space_time"),
    4: ("factorised_dot_product", None),
}


class ViViTBackbone(nn.Module):
    """Model 3 or 4 behind the signature of drv-agwl/ViViT-pytorch: code written for it runs with the import changed.

    **Weights of that project do not load, and do not fit.** It is the paper's model here, where that one departs
    from it: positions are learned for every tubelet (there they are random, outside of the parameters, never trained
    and not saved), query, key and value have biases, the final norm comes before the pooling, and Model 4 attends
    over time among the tubelets of one place. As there, Model 3 attends over space first. A new model's head is zero,
    so its first answers are too.

    The Tubelet model is `.vivit`; its config is `.vivit.config`. To save it with how it looks at a video and what its
    outputs mean, make a `Classifier` of it.

    Args:
        t: frames of a clip.
        h: pixels of a frame, height.
        w: pixels of a frame, width.
        patch_t: frames of a tubelet.
        patch_h: rows of a tubelet.
        patch_w: columns of a tubelet.
        num_classes: number of classes.
        dim: size of a token.
        depth: number of blocks.
        heads: attention heads; they need not divide `dim`.
        mlp_dim: hidden size of the MLPs.
        dim_head: size of a head.
        channels: channels of a frame.
        mode: `"tubelet"`, the only one.
        device: where to put the model. None: the CPU, whence `.to(device)` takes it. (There `"cuda"` is the default
            and is never looked at.)
        emb_dropout: dropout after the positions.
        dropout: dropout in the MLPs and after each branch.
        model: 3 (factorised self-attention) or 4 (factorised dot-product attention).

    Raises:
        ConfigError: where the arguments make no sense, alone or together.
    """

    def __init__(
        self,
        t: int,
        h: int,
        w: int,
        patch_t: int,
        patch_h: int,
        patch_w: int,
        num_classes: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int,
        dim_head: int = 64,
        channels: int = 3,
        mode: str = "tubelet",
        device: str | torch.device | None = None,
        emb_dropout: float = 0.0,
        dropout: float = 0.0,
        model: int = 4,
    ) -> None:
        super().__init__()
        if model not in BACKBONES:
            raise ConfigError(
                f"model={model} is not one of 3 and 4, which this class knows. Models 1 and 2: tubelet.ViViT with "
                "attention='joint' or 'factorised_encoder'."
            )
        if mode != "tubelet":
            raise ConfigError(
                f"mode={mode!r} is not 'tubelet', the only embedding of this class. For single frames give patch_t=1."
            )
        if not 0 <= emb_dropout < 1:
            raise ConfigError(f"emb_dropout={emb_dropout} is not a probability in [0, 1).")
        attention, order = BACKBONES[model]
        config = ViViTConfig(
            attention=attention,
            order=order,
            frames=t,
            size=(h, w),
            channels=channels,
            tubelet=(patch_t, patch_h, patch_w),
            width=dim,
            depth=depth,
            heads=heads,
            head_dim=dim_head,
            hidden=mlp_dim,
            classes=(num_classes,),
            dropout=dropout,
        )
        self.vivit = ViViT(config)
        assert self.vivit.encoder is not None, "Models 3 and 4 have one encoder"
        self.vivit.encoder.dropout.p = emb_dropout
        self.to(device)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, num_classes)` of clips `(B, C, T, H, W)`: channels before frames, as there.

        Raises:
            ConfigError: if the tubelet does not divide the clip.
            ValueError: if the clips are not of this form.
        """
        if x.ndim != 5:
            raise ValueError(
                f"Clips are (batch, channels, frames, height, width); these are {tuple(x.shape)}."
            )
        return self.vivit(x.movedim(1, 2))
