"""The steps of a training, whatever it trains: rate, seed, clipping, validation, checkpoints.

The two judges' trainings (:mod:`training.loop`, :mod:`training.encode_once`) say what a step's
gradient is and what is written at the end; the rest is here.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deepprune_core.judging.inputs import Judge
from deepprune_core.training.checkpoints import CheckpointFolder
from deepprune_core.training.plan import TrainConfig, rate_scale
from deepprune_core.training.report import validated
from deepprune_core.training.sharding import readable
from deepprune_core.training.start import work_folder
from deepprune_core.training.state import HistoryRow, LabelledPairs, TrainResult, finished_result

_PROGRESS_AFTER_S = 5.0


@dataclass(frozen=True)
class StepSize:
    """What a step read: the mean loss of its pairs, how many they are, and its tokens."""

    loss: float
    pairs: int
    tokens: int


class Steps(ABC):
    """Planned steps, taken from the last checkpoint on.

    A subclass sets ``judge`` and ``module`` (what is trained), then calls :meth:`open`.
    """

    judge: Judge
    module: torch.nn.Module
    is_main = True
    is_sharded = False

    def __init__(
        self,
        config: TrainConfig,
        train: LabelledPairs,
        validation: LabelledPairs,
        out: Path,
        identity: dict[str, Any],
    ) -> None:
        self.config, self.train, self.validation = config, train, validation
        self.out, self.identity = out, identity

    @abstractmethod
    def backward(self, batch: np.ndarray) -> StepSize:
        """Add the gradient of a step's mean loss to the parameters."""

    @abstractmethod
    def export(self) -> None:
        """Write the result, whole or not at all."""

    @abstractmethod
    def learned(self) -> dict[str, Tensor]:
        """Return the parameters that are trained, by name; shards are taken as they are."""

    def open(self, plan: list[tuple[int, np.ndarray]]) -> None:
        """Take the plan, (epoch, batch) per step, and go on from the last checkpoint."""
        parameters = self.learned()
        self.plan, self.parameters = plan, list(parameters.values())
        plain = torch.optim.AdamW(
            self.parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        self.optimizer = self.prepared(plain)
        self.checkpoints = CheckpointFolder(
            work_folder(self.out), parameters, plain, self.identity
        )  # fmt: skip
        self.history, self.seconds = self.checkpoints.read()

    def prepared(self, optimizer: torch.optim.Optimizer) -> Any:
        """Return the optimizer that steps are made with."""
        return optimizer

    def clip(self) -> float:
        """Clip the gradient to the configured norm; return its norm before."""
        found: Tensor = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        return float(found)

    def run(self, on_step: Callable[[HistoryRow], None] | None = None) -> TrainResult:
        """Make the steps that are missing, then write the result."""
        start, config = len(self.history), self.config
        bar = tqdm(
            total=len(self.plan), initial=start, desc="train judge", unit="step",
            disable=not self.is_main, delay=_PROGRESS_AFTER_S,
        )  # fmt: skip
        for step in range(start, len(self.plan)):
            started = time.monotonic()
            row = self._step(step)
            last = step + 1 == len(self.plan)
            if self._takes_part and ((step + 1) % config.evaluate_every == 0 or last):
                with readable(self.module):
                    row = validated(row, self.validation, self.judge)
            self.history.append(row)
            self.seconds += time.monotonic() - started
            if self._takes_part and (step + 1) % config.checkpoint_every == 0:
                self.checkpoints.write(self.history, self.seconds, here=self.is_main)
            bar.update()
            bar.set_postfix(loss=f"{row.loss:.4f}", refresh=False)
            if on_step is not None:
                on_step(row)
        bar.close()
        if self._takes_part:
            self.export()
        if self.is_main:
            self.checkpoints.remove()
        self.wait()
        return finished_result(self.out, self.identity)

    @property
    def _takes_part(self) -> bool:
        """Whether this process helps with what the main one writes: all do who hold shards."""
        return self.is_main or self.is_sharded

    def wait(self) -> None:  # noqa: B027 - one process has nothing to wait for
        """Wait for the other processes, if there are any."""

    def _step(self, step: int) -> HistoryRow:
        config, (epoch, batch) = self.config, self.plan[step]
        # Dropout, if any, is a function of (seed, step): a resumed run draws the same.
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))
        self.module.train()
        rate = config.learning_rate * rate_scale(
            step, len(self.plan), warmup=config.warmup, schedule=config.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        size = self.backward(batch)
        norm = self.clip()
        if not math.isfinite(size.loss) or not math.isfinite(norm):
            raise FloatingPointError(
                f"expected a finite loss and gradient, got {size.loss} and {norm} at step {step}; "
                "lower the learning rate, or train in fp32 (autocast false)"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        before = self.history[-1] if self.history else HistoryRow(0, 0, 0, 0, 0.0, 0.0, 0.0)
        return HistoryRow(
            step + 1, epoch, before.pairs + size.pairs, before.tokens + size.tokens, size.loss,
            rate, norm,
        )  # fmt: skip
