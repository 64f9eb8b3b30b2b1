"""Pairs of traces: labels, splits by question, oversampling (paper, section 3).

The label of a pair is whether both traces reach one answer class. Pairs with an ungradable
trace are dropped and counted. Splits never share a question, since a pair of a known
question tells the judge more than the traces do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.answers import UNGRADABLE, GradedQuestion


@dataclass(frozen=True)
class PairSet:
    """n pairs of traces: ``question``, ``first`` and ``second`` are (n,) int indices into a
    trace set, ``same`` is (n,) bool; ``num_ungradable`` pairs were left out."""

    question: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    num_ungradable: int = 0

    def __len__(self) -> int:
        return len(self.question)

    def take(self, rows: np.ndarray) -> PairSet:
        """Return the pairs at ``rows`` (indices or a mask), in that order."""
        return PairSet(
            self.question[rows], self.first[rows], self.second[rows], self.same[rows],
            self.num_ungradable,
        )  # fmt: skip


def all_pairs(graded: Sequence[GradedQuestion]) -> PairSet:
    """Return all C(n, 2) gradable pairs of every question, in order."""
    parts: list[np.ndarray] = []
    dropped = 0
    for index, question in enumerate(graded):
        classes = question.classes
        first, second = np.triu_indices(len(classes), k=1)
        gradable = (classes[first] != UNGRADABLE) & (classes[second] != UNGRADABLE)
        dropped += int((~gradable).sum())
        first, second = first[gradable], second[gradable]
        same = classes[first] == classes[second]
        parts.append(np.stack([np.full(len(first), index), first, second, same]))
    table = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), dtype=np.int64)
    return PairSet(table[0], table[1], table[2], table[3].astype(bool), dropped)


def sample_per_question(pairs: PairSet, k: int, rng: np.random.Generator) -> PairSet:
    """Return at most ``k`` random pairs of each question."""
    rows = [
        np.sort(rng.permutation(np.flatnonzero(pairs.question == q))[:k])
        for q in np.unique(pairs.question)
    ]
    return pairs.take(np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64))


def split_by_question(
    pairs: PairSet, share: float, rng: np.random.Generator
) -> tuple[PairSet, PairSet]:
    """Return two pair sets without a common question; the first has ``share`` of the questions.

    Raises:
        ValueError: ``share`` is not inside (0, 1) or there are fewer than two questions.
    """
    questions = rng.permutation(np.unique(pairs.question))
    if not 0 < share < 1 or len(questions) < 2:
        raise ValueError(
            f"expected a share inside (0, 1) and two questions or more, got {share} and "
            f"{len(questions)}; change the share or add questions"
        )
    count = min(len(questions) - 1, max(1, round(share * len(questions))))
    chosen = np.isin(pairs.question, questions[:count])
    return pairs.take(chosen), pairs.take(~chosen)


def oversample_minority(pairs: PairSet, factor: int = 2) -> PairSet:
    """Return the pairs with each pair of the rarer label ``factor`` times (paper: twice)."""
    if factor < 1:
        raise ValueError(f"expected a factor >= 1, got {factor}")
    minority = pairs.same if pairs.same.mean() < 0.5 else ~pairs.same
    rows = np.concatenate([np.arange(len(pairs)), *[np.flatnonzero(minority)] * (factor - 1)])
    return pairs.take(np.sort(rows, kind="stable"))
