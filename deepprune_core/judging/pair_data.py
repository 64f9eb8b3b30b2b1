"""From pairs of traces to what a judge reads: every prefix is cut once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.pairs import PairSet
from deepprune_core.traces import TraceSet
from deepprune_core.truncation import Prefix, Tokenizer, Truncation


@dataclass(frozen=True)
class JudgeData:
    """Pairs as a judge reads them.

    ``inputs``: n pairs; ``same``: (n,) bool; ``groups``: (n,) question index, for intervals
    that resample questions; ``showed_answer``: share of the used prefixes that the guard had
    to cut because they showed an answer; ``share``: median share of a trace's tokens
    that its prefix is.
    """

    model: str
    inputs: tuple[JudgeInput, ...]
    same: np.ndarray
    groups: np.ndarray
    showed_answer: float
    share: float

    def __len__(self) -> int:
        return len(self.inputs)


def cut_prefixes(
    traces: TraceSet, truncation: Truncation, tokenizer: Tokenizer
) -> tuple[tuple[Prefix, ...], ...]:
    """Return every trace's prefix, aligned with ``traces.traces``."""
    return tuple(
        tuple(truncation.cut(trace.text, tokenizer) for trace in group) for group in traces.traces
    )


def judge_data(
    traces: TraceSet, pairs: PairSet, truncation: Truncation, tokenizer: Tokenizer
) -> JudgeData:
    """Return the judge's inputs and labels for ``pairs`` of ``traces``."""
    cut: dict[tuple[int, int], Prefix] = {}

    def prefix(question: int, trace: int) -> str:
        key = (question, trace)
        if key not in cut:
            cut[key] = truncation.cut(traces.traces[question][trace].text, tokenizer)
        return cut[key].text

    inputs = tuple(
        JudgeInput(traces.questions[q].text, prefix(q, i), prefix(q, j))
        for q, i, j in zip(
            pairs.question.tolist(), pairs.first.tolist(), pairs.second.tolist(), strict=True
        )
    )
    showed = share = float("nan")
    if cut:
        showed = float(np.mean([p.showed_answer for p in cut.values()]))
        share = float(np.median([p.fraction for p in cut.values()]))
    return JudgeData(traces.model, inputs, pairs.same.copy(), pairs.question.copy(), showed, share)


def merge(parts: Sequence[JudgeData]) -> JudgeData:
    """Return the pairs of several reasoners together; questions keep distinct groups by index.

    The reasoners answer the same questions, so a question's pairs stay in one group.
    """
    return JudgeData(
        "average",
        tuple(x for part in parts for x in part.inputs),
        np.concatenate([part.same for part in parts]),
        np.concatenate([part.groups for part in parts]),
        float(np.mean([part.showed_answer for part in parts])),
        float(np.mean([part.share for part in parts])),
    )
