"""Number overlap: two beginnings agree as far as they share the numbers that they worked out.

It costs nothing and knows no language, so it is the floor that a judge of mathematics has to
beat. Numbers that stand in the question tell nothing and do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from deepprune_core.judging.inputs import JudgeInput

_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|(?<!\d)\.\d+", re.ASCII)
LONGEST = 40  # digits; what is longer is no number that anybody worked out
UNKNOWN = 0.5


def numbers_in(text: str) -> frozenset[Fraction]:
    """Return the values of the numbers in a text; thousands' commas are no separators.

    >>> sorted(map(str, numbers_in("1,200 eggs / 12 = 100.0, so .5 of 100 is 50.")))
    ['1/2', '100', '12', '1200', '50']
    """
    found = (match.replace(",", "") for match in _NUMBER.findall(text))
    return frozenset(Fraction(number) for number in found if len(number) <= LONGEST)


class NumberOverlapJudge:
    """Scores a pair by the Jaccard index of its prefixes' numbers, those of the question apart."""

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return ``(n,)`` float64 in [0, 1]; 0.5 where neither prefix has a number of its own."""
        known = {text: numbers_in(text) for pair in inputs
                 for text in (pair.question, pair.first, pair.second)}  # fmt: skip

        def one(pair: JudgeInput) -> float:
            first = known[pair.first] - known[pair.question]
            second = known[pair.second] - known[pair.question]
            either = len(first | second)
            return len(first & second) / either if either else UNKNOWN

        return np.array([one(pair) for pair in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return ``(n,)`` ones: the ledger wants a price for every question to the judge."""
        return np.ones(len(inputs), np.int64)
