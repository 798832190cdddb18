"""Curves for TensorBoard and Weights & Biases, beside the log, where the run asks for them."""

from importlib import import_module
from typing import Any

from tubelet.errors import ConfigError
from tubelet.training.config import Train


class Curves:
    """Sends numbers to what the run asks for; to nothing, where it asks for none.

    Args:
        run: what it asks for.
        taken: steps of the run that are done: points after them, of a run that was killed, are taken back.

    Raises:
        ConfigError: if it asks for a package that is not installed.
    """

    def __init__(self, run: Train, taken: int = 0) -> None:
        self._board: Any = None
        self._wandb: Any = None
        if run.tensorboard:
            board = needed("torch.utils.tensorboard", "tensorboard")
            self._board = board.SummaryWriter(
                str(run.out / "tensorboard"), purge_step=taken + 1 if taken else None
            )
        if run.wandb is not None:
            self._wandb = needed("wandb", "wandb").init(
                project=run.wandb, name=run.out.resolve().name, dir=str(run.out), config=run.to_dict()
            )

    def add(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each named curve."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(values, step=step)

    def close(self) -> None:
        """Send what is left."""
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def needed(module: str, package: str) -> Any:
    """A module of a package that only some users want.

    Raises:
        ConfigError: if it is not installed; says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"The run asks for {package}, which is not installed: pip install 'tubelet[{package}]', or leave it out."
        ) from error
