"""What a checkpoint holds of model and optimizer: whole tensors by the names of the parameters.

So any number of processes, and any way to divide a model among them, reads what any other has written.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.distributed import Processes, part_like, whole


def model_state(model: nn.Module, who: Processes) -> dict[str, Tensor]:
    """The tensors of a model on the first process, nothing on the others; all must ask."""
    return kept({name: tensor.detach() for name, tensor in model.state_dict().items()}, who)


def kept(tensors: Mapping[str, Tensor], who: Processes) -> dict[str, Tensor]:
    """Whole tensors on the first process; those that had to be put together are put in main memory."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        together = whole(tensor)
        if who.first:
            found[name] = together if together is tensor else together.cpu()
    return found


@torch.no_grad()
def load_tensors(into: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Give tensors the values of the whole ones of the same names."""
    assert into.keys() == saved.keys(), f"{sorted(into.keys() ^ saved.keys())} are on one side only"
    for name, tensor in into.items():
        tensor.copy_(part_like(saved[name], tensor))


def optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, who: Processes
) -> dict[str, dict[str, Any]]:
    """For each parameter that has learned, the optimizer's own values; on the first process, all must ask."""
    found: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        values = optimizer.state.get(parameter)
        if values:
            tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
            found[name] = {**values, **kept(tensors, who)} if who.first else kept(tensors, who)
    return found if who.first else {}


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, saved: Mapping[str, Mapping[str, Any]]
) -> None:
    """The inverse of `optimizer_state`, from a whole state on every process."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for place, parameter in enumerate(order):
        values = saved.get(names[id(parameter)])
        if values is not None:
            state[place] = {
                key: part_like(value, parameter)
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim
                else value
                for key, value in values.items()
            }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
