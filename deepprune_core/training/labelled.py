"""Pairs with labels from a trace file, for those who train or test a judge of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.answers import grade_all
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_data import judge_data
from deepprune_core.judging.prompts import JudgePrompt, chat_prompt, plain_prompt
from deepprune_core.pairs import (
    PairSet,
    all_pairs,
    oversample_minority,
    sample_per_question,
    split_by_question,
)
from deepprune_core.traces import TraceSet
from deepprune_core.training.state import LabelledPairs
from deepprune_core.truncation import Tokenizer, Truncation

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class LabelledTraces:
    """A trace file's pairs: what a judge reads, and whether the answers agree."""

    traces: TraceSet
    chosen: PairSet
    inputs: tuple[JudgeInput, ...]

    @property
    def same(self) -> np.ndarray:
        """(n,) bool."""
        return self.chosen.same

    @property
    def groups(self) -> np.ndarray:
        """(n,) question index."""
        return self.chosen.question

    def pairs(self, *, oversample: bool = False) -> LabelledPairs:
        """Return the pairs in the form that training reads."""
        rows = np.arange(len(self.inputs))
        if oversample:
            index = PairSet(self.chosen.question, rows, rows, self.chosen.same)
            rows = oversample_minority(index).first
        inputs = tuple(self.inputs[i] for i in rows)
        return LabelledPairs(inputs, self.same[rows], self.groups[rows])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each pair's question, trace ids and label as plain data."""
        for q, i, j, same in zip(
            self.groups.tolist(), self.chosen.first.tolist(), self.chosen.second.tolist(),
            self.same.tolist(), strict=True,
        ):  # fmt: skip
            group = self.traces.traces[q]
            yield {
                "question_id": self.traces.questions[q].question_id,
                "first": group[i].trace_id,
                "second": group[j].trace_id,
                "same": bool(same),
            }


def label_pairs(
    path: Path,
    truncation: Truncation,
    tokenizer: Tokenizer,
    per_question: int,
    rng: np.random.Generator,
) -> LabelledTraces:
    """Return at most ``per_question`` pairs of every question in a trace file.

    Raises:
        TraceFileError: the file cannot be read.
        ValueError: no two traces of a question have answers.
    """
    traces = read_traces(path)
    chosen = sample_per_question(all_pairs(grade_all(traces)), per_question, rng)
    if not len(chosen):
        raise ValueError(f"{path}: no question has two traces with answers; sample more traces")
    inputs = judge_data(traces, chosen, truncation, tokenizer).inputs
    return LabelledTraces(traces, chosen, inputs)


def split_validation(
    found: LabelledTraces, rng: np.random.Generator
) -> tuple[LabelledTraces, LabelledTraces]:
    """Return (training, validation) pairs; a tenth of the questions validates, at least one.

    Raises:
        ValueError: there is one question only.
    """
    rows = np.arange(len(found.inputs))
    index = PairSet(found.groups, rows, rows, found.same)
    held_out, training = split_by_question(index, VALIDATION_SHARE, rng)
    return _part(found, training.first), _part(found, held_out.first)


def _part(found: LabelledTraces, rows: np.ndarray) -> LabelledTraces:
    inputs = tuple(found.inputs[i] for i in rows)
    return LabelledTraces(found.traces, found.chosen.take(rows), inputs)


def prompt_for(tokenizer: Any) -> JudgePrompt:
    """Return the chat prompt where the tokenizer has a chat template, else plain text."""
    if getattr(tokenizer, "chat_template", None):
        return chat_prompt(tokenizer)
    return plain_prompt(tokenizer)
