"""Questions, traces and trace sets: what every other module passes around.

A *trace* is one sampled chain of thought; a *trace set* holds the traces that one model wrote
for a list of questions. Files are read and written by :mod:`deepprune_core.formats.trace_files`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Question:
    """A question; ``gold`` is its right answer where known, ``benchmark`` the set it is from."""

    question_id: str
    text: str
    gold: str | None = None
    benchmark: str = ""


@dataclass(frozen=True)
class Trace:
    """One sampled chain of thought.

    ``num_tokens`` counts generated tokens of the model's own tokenizer; ``answer`` is the
    final answer if the source extracted it; ``confidences`` is float16 ``(num_tokens,)`` in
    nats: minus the mean log-probability of the top-20 candidates (DeepConf, arXiv 2508.15260).
    """

    question_id: str
    trace_id: str
    text: str
    num_tokens: int
    answer: str | None = None
    finish_reason: str | None = None
    confidences: np.ndarray | None = None


@dataclass(frozen=True)
class TraceSet:
    """The traces of one model; ``traces[i]`` belong to ``questions[i]``.

    ``counts_are_words`` says that the source gave no token counts and words stand in.
    """

    model: str
    questions: tuple[Question, ...]
    traces: tuple[tuple[Trace, ...], ...]
    counts_are_words: bool = False

    def __post_init__(self) -> None:
        if len(self.questions) != len(self.traces):
            raise ValueError(
                f"expected one group of traces a question, got {len(self.questions)} questions "
                f"and {len(self.traces)} groups"
            )

    @property
    def num_traces(self) -> int:
        return sum(len(group) for group in self.traces)

    @property
    def has_confidences(self) -> bool:
        """Whether every trace carries its token confidences."""
        return all(t.confidences is not None for group in self.traces for t in group)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks of the questions, in order of appearance."""
        return tuple(dict.fromkeys(question.benchmark for question in self.questions))

    def first(self, n: int) -> TraceSet:
        """Return the set with the first ``n`` traces of each question."""
        return replace(self, traces=tuple(group[:n] for group in self.traces))

    def only(self, benchmark: str) -> TraceSet:
        """Return the questions of one benchmark."""
        return self.select([q.question_id for q in self.questions if q.benchmark == benchmark])

    def select(self, question_ids: Collection[str]) -> TraceSet:
        """Return the named questions, in their order in this set."""
        wanted = set(question_ids)
        keep = [i for i, q in enumerate(self.questions) if q.question_id in wanted]
        return replace(
            self,
            questions=tuple(self.questions[i] for i in keep),
            traces=tuple(self.traces[i] for i in keep),
        )
