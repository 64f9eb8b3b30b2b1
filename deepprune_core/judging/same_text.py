"""The judge that knows nothing: two traces agree if their beginnings are letter for letter equal.

It is the floor of every comparison: what it prunes, any cache of requests would prune.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.judging.inputs import JudgeInput


class SameTextJudge:
    """Scores 1 where the prefixes are equal, else 0; it reads no tokens of a model."""

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return ``(n,)`` float64, 0 or 1; two empty beginnings tell nothing and score 0."""
        return np.array([float(pair.first == pair.second != "") for pair in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return ``(n,)`` ones: the ledger wants a price for every question to the judge."""
        return np.ones(len(inputs), np.int64)
