"""Fine-tuning the judge: focal loss on the verdict alone, resumable, deterministic per seed.

Paper, section 3.2. The loss is taken from the margin of the two label logits at the last
position, not from every token of a reply. Label 1 is *same*, label 0 is *different*;
oversampling is done before, on the pairs. The paper gives neither learning rate, batch,
epochs nor the focal settings: all are fields of :class:`TrainConfig`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepprune_core.judge import CausalLMJudge, pad_right
from deepprune_core.judging.packing import pack
from deepprune_core.judging.prompts import JudgePrompt
from deepprune_core.training.model import VerdictModel, trainable
from deepprune_core.training.passes import Pass, PassPlanner
from deepprune_core.training.plan import TrainConfig
from deepprune_core.training.report import machine, outcome
from deepprune_core.training.sharding import shard, sync_gradients, whole_weights
from deepprune_core.training.start import finished_before, identity_of
from deepprune_core.training.state import HistoryRow, LabelledPairs, TrainResult, write_result
from deepprune_core.training.steps import Steps, StepSize

__all__ = ["HistoryRow", "LabelledPairs", "TrainConfig", "TrainResult", "train_judge"]


def train_judge(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    *,
    prompt: JudgePrompt,
    train: LabelledPairs,
    validation: LabelledPairs,
    out: Path,
    on_step: Callable[[HistoryRow], None] | None = None,
    compiled: bool = False,
    sharded: bool = False,
) -> TrainResult:
    """Return the result of training, whose adapter (or model) is written to ``out``.

    ``model`` is changed in place. Work in progress lies in ``<out>.work``: a killed run goes
    on from its last checkpoint with the same batches. A finished ``out`` is returned as it is.
    ``on_step`` is called after each step. ``compiled`` compiles the passes that share heads,
    which pays after some minutes. ``sharded`` spreads weights, gradients and the optimizer's state
    over the processes (FSDP), for a judge that one GPU does not hold; all weights are trained
    then. ``out`` receives weights (safetensors), tokenizer,
    history.csv and manifest.json, whole or not at all.

    Raises:
        ValueError: no training pairs, sharding with LoRA or in one process, or ``out`` / its
            checkpoint has another configuration.
        FileExistsError: ``out`` holds something that is no finished training.
        FloatingPointError: loss or gradient is not finite.
    """
    if not len(train):
        raise ValueError("expected at least one training pair, got none; check the pair set")
    if sharded and config.lora_rank is not None:
        raise ValueError(
            f"expected lora_rank null where weights are sharded, got {config.lora_rank}; set it "
            "to null, or train the adapter on one GPU"
        )
    identity = identity_of(config, model, prompt, train, validation)
    if (result := finished_before(out, identity)) is not None:
        return result
    run = _Training(
        config, model, tokenizer, prompt, train, validation, out, identity, compiled, sharded
    )  # fmt: skip
    return run.run(on_step)


class _Training(Steps):
    """One run: model, optimizer, plan and log."""

    def __init__(
        self,
        config: TrainConfig,
        model: Any,
        tokenizer: Any,
        prompt: JudgePrompt,
        train: LabelledPairs,
        validation: LabelledPairs,
        out: Path,
        identity: dict[str, Any],
        compiled: bool,
        sharded: bool,
    ) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ImportError(f"{error}; pip install 'deepprune-replicated[train]'") from error

        super().__init__(config, train, validation, out, identity)
        self.tokenizer = tokenizer
        # Mixed precision is ours (autocast below), so that training and scoring agree.
        self.accelerator = Accelerator(mixed_precision="no")
        self.is_main, self.is_sharded = self.accelerator.is_main_process, sharded
        if sharded and self.accelerator.num_processes == 1:
            raise ValueError(
                "expected several processes where weights are sharded, got one; start them with "
                "accelerate launch, or do not shard"
            )
        self.dtype = next(model.parameters()).dtype
        self.model = trainable(model.to(self.accelerator.device), config)
        micro = config.micro_tokens or config.batch_tokens
        self.judge = CausalLMJudge(
            self.model, tokenizer, prompt, config.max_tokens, micro, autocast=config.autocast,
            packed=self.accelerator.device.type == "cuda",
        )  # fmt: skip
        encode = self.judge.encoder.encode
        self.pairs = [encode(p.question, p.first, p.second) for p in train.inputs]
        self.planner = PassPlanner(train.inputs, self.pairs, config)
        self.module = VerdictModel(self.model, self.judge.labels, compiled=compiled)
        if sharded:
            shard(self.module)
        plan = [
            (epoch, batch)
            for epoch in range(config.epochs)
            for batch in self.planner.epoch(np.random.default_rng([config.seed, epoch]))
        ]
        self.open(plan)

    def learned(self) -> dict[str, Tensor]:
        """Return the parameters that are trained."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def prepared(self, optimizer: torch.optim.Optimizer) -> Any:
        """Return the optimizer as accelerate wraps it, the module with it."""
        if self.is_sharded:
            return optimizer
        self.module, wrapped = self.accelerator.prepare(self.module, optimizer)
        return wrapped

    def clip(self) -> float:
        """Clip the gradient over all processes."""
        return float(self.accelerator.clip_grad_norm_(self.parameters, self.config.max_grad_norm))

    def wait(self) -> None:
        """Wait until the main process has written the result."""
        self.accelerator.wait_for_everyone()

    def export(self) -> None:
        """Write weights, tokenizer, history and manifest."""
        weights = whole_weights(self.model, self.dtype) if self.is_sharded else None
        if not self.is_main:
            return
        if self.config.lora_rank is None and weights is None:
            self.model.to(self.dtype)
        write_result(
            self.out, self.model, self.tokenizer, history=self.history, manifest=_manifest(self),
            weights=weights,
        )  # fmt: skip

    def backward(self, batch: np.ndarray) -> StepSize:
        """Accumulate this process's gradients; the loss is that of the whole batch."""
        loss = self.accelerator.reduce(self._backward(batch), "sum").item()
        return StepSize(loss, len(batch), int(self.planner.lengths[batch].sum()))

    def _backward(self, batch: np.ndarray) -> Tensor:
        """Accumulate this process's gradients; return its part of the batch's mean loss.

        Losses are summed and divided by the whole batch's pairs, so the gradient does not
        depend on how a batch is split into passes or processes.
        """
        accelerator = self.accelerator
        passes = self._passes(batch)
        total = torch.zeros((), device=accelerator.device)
        for i, (one, weight) in enumerate(passes):
            with self._synced(i + 1 == len(passes)):
                loss = self._loss(one) * weight
                accelerator.backward(loss * accelerator.num_processes)  # the sync averages
            total += loss.detach()
        return total

    def _passes(self, batch: np.ndarray) -> list[tuple[Pass, float]]:
        """Return this process's passes and the weights of their losses.

        All processes make at least one, and equally many where weights are sharded; those that
        only keep company weigh nothing.
        """
        count, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine = batch[rank::count]
        passes = [(one, 1.0 / len(batch)) for one in self.planner.passes(mine)]
        least = 1
        if self.is_sharded:
            least = max(len(self.planner.passes(batch[i::count])) for i in range(count))
        if len(passes) < least:
            company = self.planner.passes(batch[:1])[0]
            passes += [(company, 0.0)] * (least - len(passes))
        return passes

    def _synced(self, on: bool) -> AbstractContextManager[None]:
        """Return a context whose backward pass averages gradients over processes, or does not."""
        if self.is_sharded:
            sync_gradients(self.module, on)
        elif not on:
            synced: AbstractContextManager[None] = self.accelerator.no_sync(self.module)
            return synced
        return nullcontext()

    def _loss(self, one: Pass) -> Tensor:
        """Return the summed loss of a pass's pairs."""
        from deepprune_core.focal import focal_loss

        device = self.accelerator.device
        ids, last = pad_right(one.texts, device) if one.texts else (None, None)
        packed = pack(one.packed).to(device) if one.packed else None
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.autocast):
            logits = self.module(ids, last, packed)
        labels = torch.from_numpy(self.train.labels[one.rows]).to(device)
        chosen = logits[torch.from_numpy(one.text_of).to(device)]
        return focal_loss(
            chosen, labels, gamma=self.config.gamma, alpha=self.config.alpha, reduction="sum"
        )


def _manifest(run: _Training) -> dict[str, Any]:
    return {
        "kind": "full" if run.config.lora_rank is None else "lora",
        **run.identity,
        "seed": run.config.seed,
        **outcome(run.history, run.seconds),
        "train_pairs": len(run.train),
        "validation_pairs": len(run.validation),
        "shortened_pairs": sum(pair.shortened for pair in run.pairs),
        "trained_parameters": sum(p.numel() for p in run.parameters),
        "processes": run.accelerator.num_processes,
        **machine(run.accelerator.device),
    }
