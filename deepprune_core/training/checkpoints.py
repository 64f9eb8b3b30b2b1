"""Checkpoints of a training: weights, optimizer and history.

One is written to a new folder that then takes the old one's place: it is whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deepprune_core.training.sharding import like, whole
from deepprune_core.training.state import (
    HISTORY,
    HistoryRow,
    read_history,
    refuse_other_identity,
    write_history,
)

_POSITION, _WEIGHTS, _OPTIMIZER = "position.json", "weights.safetensors", "optimizer.safetensors"


class CheckpointFolder:
    """The checkpoint of one run in a work folder.

    Args:
        work: the folder; created at the first write.
        parameters: the trained parameters by name, in the optimizer's order.
        optimizer: their optimizer.
        identity: what must be equal for a resume (config, digests of data and weights).
    """

    def __init__(
        self,
        work: Path,
        parameters: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        identity: dict[str, Any],
    ) -> None:
        self.work, self._identity = work, identity
        self._parameters, self._optimizer = parameters, optimizer

    def write(self, history: Sequence[HistoryRow], seconds: float, *, here: bool = True) -> None:
        """Write weights, optimizer, history and seconds of work so far.

        ``here``: whether this process writes; where weights are sharded, all must call.
        """
        weights = {k: whole(v) for k, v in self._parameters.items()}
        names, state = list(self._parameters), self._optimizer.state_dict()["state"]
        moments = {
            f"{key}:{names[i]}": whole(value)
            for i, entry in state.items()
            for key, value in entry.items()
        }
        if not here:
            return
        fresh, current = self.work / "checkpoint.tmp", self.work / "checkpoint"
        old = self.work / "checkpoint.old"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(weights, fresh / _WEIGHTS)
        save_file(moments, fresh / _OPTIMIZER)
        write_history(history, fresh / HISTORY)
        position = {"seconds": seconds, "identity": self._identity}
        (fresh / _POSITION).write_text(json.dumps(position), encoding="utf-8")
        shutil.rmtree(old, ignore_errors=True)
        if current.exists():
            os.replace(current, old)
        os.replace(fresh, current)

    def remove(self) -> None:
        """Delete the folder, as after a finished training."""
        shutil.rmtree(self.work, ignore_errors=True)

    def read(self) -> tuple[list[HistoryRow], float]:
        """Load the last checkpoint into weights and optimizer; return (history, seconds).

        Returns ([], 0.0) and changes nothing when there is none.

        Raises:
            ValueError: the checkpoint belongs to another configuration.
        """
        folders = (self.work / "checkpoint", self.work / "checkpoint.old")
        folder = next((f for f in folders if (f / _POSITION).exists()), None)
        if folder is None:
            return [], 0.0
        position = json.loads((folder / _POSITION).read_text(encoding="utf-8"))
        refuse_other_identity(position["identity"], self._identity, folder)
        with torch.no_grad():
            for name, value in load_file(folder / _WEIGHTS).items():
                self._parameters[name].copy_(like(value, self._parameters[name]))
        index = {name: i for i, name in enumerate(self._parameters)}
        saved = self._optimizer.state_dict()
        saved["state"] = {}
        for key, value in load_file(folder / _OPTIMIZER).items():
            kind, name = key.split(":", 1)
            kept = like(value, self._parameters[name])
            saved["state"].setdefault(index[name], {})[kind] = kept
        self._optimizer.load_state_dict(saved)
        return read_history(folder / HISTORY), float(position["seconds"])
