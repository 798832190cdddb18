"""What the six official configurations have in common."""

from pathlib import Path

from tubelet.data.source import Source
from tubelet.models.config import ViViTConfig
from tubelet.training.config import Optimizer, Pretrained, Train
from tubelet.video.view import View
from tubelet.weights.start import Start
from tubelet.weights.surgery import PositionRule


def official(
    data: Source,
    out: Path,
    init: Path | None,
    *,
    model: ViViTConfig,
    view: View,
    epochs: int,
    lr: float,
    label_smoothing: float = 0.0,
    mixup: float | None = None,
    positions: PositionRule = "tile",
) -> Train:
    """A run with what all of them say: SGD with momentum 0.9, 64 clips a step, 2.5 epochs of warm-up, no decay.

    The step has eight replica groups, as on eight devices. Its gradient is clipped as a whole;
    `--optimizer.clip per_replica` is the official place. In an epoch the last step, which officially is left out, has
    the clips that are left.
    """
    return Train(
        data=data,
        model=model,
        view=view,
        out=out,
        init=None if init is None else Pretrained(file=init, rules=Start(positions=positions)),
        epochs=epochs,
        batch_size=64,
        replicas=8,
        optimizer=Optimizer(
            kind="sgd", lr=lr, betas=(0.9, 0.0), weight_decay=0.0, warmup_epochs=2.5, clip_norm=1.0
        ),
        label_smoothing=label_smoothing,
        mixup=mixup,
        workers=8,
    )
