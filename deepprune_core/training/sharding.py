"""Weights, gradients and the optimizer's state spread over processes (FSDP), for large judges.

A parameter is a shard here; what is written down is the whole. Functions that gather must be
called by all processes together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from deepprune_core.training.model import VerdictModel


def shard(module: VerdictModel) -> None:
    """Spread a model over all processes, layer by layer, in place."""
    for layer in module.model.get_decoder().layers:
        fully_shard(layer)
    fully_shard(module)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, gathered if it is a shard."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a whole tensor as ``parameter`` is kept: this process's shard of it, or itself."""
    if not isinstance(parameter, DTensor) or not value.ndim:
        return value
    placed = value.to(parameter.device_mesh.device_type)
    return distribute_tensor(placed, parameter.device_mesh, parameter.placements)


def whole_weights(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return all weights of a sharded model in ``dtype``, on the CPU; shared ones once."""
    named = [{n for n, _ in model.named_parameters(remove_duplicate=r)} for r in (False, True)]
    again = named[0] - named[1]
    state = model.state_dict()
    return {name: whole(value).to(dtype) for name, value in state.items() if name not in again}


@contextmanager
def readable(module: torch.nn.Module) -> Iterator[None]:
    """Let parts of a sharded model be called by themselves: its own weights are gathered.

    A layer gathers its weights when it is called; those outside the layers wait for the whole
    model's call, which scoring does not make.
    """
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def sync_gradients(module: torch.nn.Module, on: bool) -> None:
    """Say whether the next backward pass averages gradients over processes."""
    assert isinstance(module, FSDPModule)
    module.set_requires_gradient_sync(on)


def part() -> None:
    """End the work of several processes together, if there was any; each goes on by itself."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
