"""A reader of contradictions: how many terms two prefixes of the miniature world read differently.

A prefix tells the end of its trace through the readings of ambiguous terms. Comparing them is a
rule that needs no training; trained judges can see more, such as how sure a prefix is. What
nobody can exceed is another thing: see :mod:`replication.rollouts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from deepprune_core.judging.inputs import JudgeInput
from replication.miniature.terms import READINGS

_READING = re.compile(
    "|".join(rf"(?P<{term}>\b{term} is (?:{'|'.join(of)}))\." for term, of in READINGS.items())
)


@lru_cache(maxsize=65_536)
def shown_readings(text: str) -> tuple[tuple[str, str], ...]:
    """Return the term and reading pairs that a text settles; the last word on a term counts.

    >>> shown_readings("so average is mode. wait, no. so average is mean. is share equally?")
    (('average', 'mean'),)
    """
    last = {}
    for match in _READING.finditer(text):
        term, _, reading = match[0].rstrip(".").split(" ")
        last[term] = reading
    return tuple(sorted(last.items()))


def contradictions(first: str, second: str) -> int:
    """Return how many terms two texts read differently."""
    other = dict(shown_readings(second))
    return sum(other.get(term, reading) != reading for term, reading in shown_readings(first))


class ReadingJudge:
    """Scores a pair by ``0.1 ** contradictions``: the rule as a judge. It costs no tokens."""

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return a score in (0, 1] per pair: ``(n,)`` float64."""
        return np.array([0.1 ** contradictions(p.first, p.second) for p in inputs], float)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return zeros: ``(n,)`` int64."""
        return np.zeros(len(inputs), dtype=np.int64)
