"""Training a judge that reads each prefix once: all pairs of a question for one reading of each.

The loss, the oversampling and the data are those of the pairwise judge
(:mod:`deepprune_core.training.loop`); a step holds whole questions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepprune_core.focal import focal_loss
from deepprune_core.judging.encode_once import (
    HEAD,
    EncodeOnceJudge,
    PairHead,
    Text,
    encode_texts,
    texts_of,
)
from deepprune_core.judging.prompts import JudgePrompt
from deepprune_core.training.model import trainable
from deepprune_core.training.plan import TrainConfig, plan_batches
from deepprune_core.training.report import machine, outcome
from deepprune_core.training.start import finished_before, identity_of
from deepprune_core.training.state import HistoryRow, LabelledPairs, TrainResult, write_result
from deepprune_core.training.steps import Steps, StepSize


def train_encode_once(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    *,
    prompt: JudgePrompt,
    train: LabelledPairs,
    validation: LabelledPairs,
    out: Path,
    on_step: Callable[[HistoryRow], None] | None = None,
) -> TrainResult:
    """Return the result of training; ``out`` receives adapter, head, history and manifest.

    ``model`` is changed in place. ``config.batch_tokens`` bounds a step's texts, each question
    and each prefix counted once; a question with more is a step of its own. A killed run goes
    on from its last checkpoint with the same batches.

    Raises:
        ValueError: no training pairs, pairs without questions (``groups``), or ``out`` / its
            checkpoint has another configuration.
        FileExistsError: ``out`` holds something that is no finished training.
        FloatingPointError: loss or gradient is not finite.
    """
    if not len(train) or train.groups is None or config.lora_rank is None:
        raise ValueError("expected training pairs with their questions, and a LoRA rank; got none")
    identity = {"kind": "encode once", **identity_of(config, model, prompt, train, validation)}
    if (result := finished_before(out, identity)) is not None:
        return result
    run = _Training(config, model, tokenizer, prompt, train, validation, out, identity)
    return run.run(on_step)


class _Training(Steps):
    """One run: model, head, optimizer, plan and log."""

    judge: EncodeOnceJudge

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
    ) -> None:
        super().__init__(config, train, validation, out, identity)
        self.tokenizer = tokenizer
        self.module = self.model = trainable(model, config)
        self.device = next(self.model.parameters()).device
        if self.device.type == "cpu":  # fused attention with a mask: slow backwards
            self.model.get_decoder().set_attn_implementation("eager")
        torch.manual_seed(config.seed)
        self.head = PairHead(int(model.config.hidden_size)).to(self.device)
        self.judge = EncodeOnceJudge(
            self.model, self.head, tokenizer, prompt, config.max_tokens,
            config.micro_tokens or config.batch_tokens, autocast=config.autocast,
        )  # fmt: skip
        self.questions = _Questions(train, self.judge)
        plan = [
            (epoch, batch)
            for epoch in range(config.epochs)
            for batch in plan_batches(
                self.questions.tokens, config.batch_tokens,
                np.random.default_rng([config.seed, epoch]), bucket=len(self.questions.tokens),
            )
        ]  # fmt: skip
        self.open(plan)

    def learned(self) -> dict[str, Tensor]:
        """Return the adapter's and the head's parameters."""
        return {
            f"{part}.{name}": p
            for part, module in (("model", self.model), ("head", self.head))
            for name, p in module.named_parameters()
            if p.requires_grad
        }

    def backward(self, batch: np.ndarray) -> StepSize:
        """Accumulate the gradients of some questions' pairs."""
        self.judge.forget()  # what it remembers is of weights that are about to change
        loss, pairs = self._loss(batch)
        loss.backward()
        return StepSize(loss.item(), pairs, int(self.questions.tokens[batch].sum()))

    def _loss(self, batch: np.ndarray) -> tuple[Tensor, int]:
        """Return the mean focal loss over all pairs of some questions, and how many there are."""
        texts, rows, first, second = self.questions.of(batch)
        encoded = [self.judge.encoder.encode(text) for text in texts]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
            vectors = encode_texts(
                self.model.get_decoder(), self.head, encoded, self.judge.batch_tokens
            )
        margins = self.head(vectors[first], vectors[second])
        logits = torch.stack([torch.zeros_like(margins), margins], dim=1)
        labels = torch.from_numpy(self.train.labels[rows]).to(self.device)
        loss = focal_loss(logits, labels, gamma=self.config.gamma, alpha=self.config.alpha)
        return loss, len(rows)

    def export(self) -> None:
        """Write adapter, head, history and manifest."""
        manifest = {
            **self.identity,
            **outcome(self.history, self.seconds),
            "train_pairs": len(self.train),
            "validation_pairs": len(self.validation),
            "trained_parameters": sum(p.numel() for p in self.parameters),
            **machine(self.device),
        }
        write_result(
            self.out, self.model, self.tokenizer, history=self.history, manifest=manifest,
            extra={HEAD: self.head.state_dict()},
        )  # fmt: skip


class _Questions:
    """Pairs by question: its texts, and which two each pair compares.

    ``tokens``: (q,) tokens a question's texts have, its question counted once.
    """

    def __init__(self, pairs: LabelledPairs, judge: EncodeOnceJudge) -> None:
        assert pairs.groups is not None
        self._texts: list[list[Text]] = []
        self._rows, self._places = [], []
        tokens = []
        for group in np.unique(pairs.groups):
            rows = np.flatnonzero(pairs.groups == group)
            both = [texts_of(pairs.inputs[i]) for i in rows]
            place = {
                text: i for i, text in enumerate(dict.fromkeys(t for two in both for t in two))
            }
            self._texts.append(list(place))
            self._rows.append(rows)
            self._places.append(np.array([[place[a], place[b]] for a, b in both]).T)
            encoded = [judge.encoder.encode(text) for text in place]
            tokens.append(len(encoded[0].head) + sum(len(one.tail) for one in encoded))
        self.tokens = np.array(tokens)

    def of(self, batch: np.ndarray) -> tuple[list[Text], np.ndarray, Tensor, Tensor]:
        """Return texts, pairs (rows of the pair set), and each pair's two places among texts."""
        starts = np.cumsum([0, *(len(self._texts[q]) for q in batch)])
        places = np.concatenate(
            [self._places[q] + start for q, start in zip(batch, starts[:-1], strict=True)], axis=1
        )
        texts = [text for q in batch for text in self._texts[q]]
        rows = np.concatenate([self._rows[q] for q in batch])
        first, second = torch.from_numpy(places)
        return texts, rows, first, second
