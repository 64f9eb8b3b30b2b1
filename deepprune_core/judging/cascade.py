"""Two judges in a row: the cheap one decides the clear pairs, the dear one reads the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.judging.inputs import Judge, JudgeInput


def margins(scores: np.ndarray) -> np.ndarray:
    """Return log-odds of scores in [0, 1]."""
    inside = np.clip(np.asarray(scores, dtype=np.float64), 1e-14, 1 - 1e-14)
    found: np.ndarray = np.log(inside / (1 - inside))
    return found


def unclear(scores: np.ndarray, width: float) -> np.ndarray:
    """Return which scores (any shape) lie within ``width`` of even odds, in log-odds."""
    found: np.ndarray = np.abs(margins(scores)) <= width
    return found


class CascadeJudge:
    """Asks ``cheap`` for every pair, and ``dear`` for those that it leaves unclear.

    ``width``: a pair is unclear if the cheap judge's log-odds lie within it; 0 asks the dear
    judge only at even odds, infinity always.
    """

    def __init__(self, cheap: Judge, dear: Judge, width: float) -> None:
        if not width >= 0:
            raise ValueError(f"expected a width of at least 0, got {width}")
        self.cheap, self.dear, self.width = cheap, dear, width

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)``, each by the judge that decides it."""
        scores = np.array(self.cheap.score(inputs), dtype=np.float64)
        asked = np.flatnonzero(unclear(scores, self.width))
        if len(asked):
            scores[asked] = self.dear.score([inputs[i] for i in asked.tolist()])
        return scores

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return what both judges read for each pair: ``(n,)`` int64."""
        tokens = np.array(self.cheap.num_tokens(inputs), dtype=np.int64)
        asked = np.flatnonzero(unclear(self.cheap.score(inputs), self.width))
        if len(asked):
            tokens[asked] += self.dear.num_tokens([inputs[i] for i in asked.tolist()])
        return tokens


def width_for(scores: np.ndarray, share: float) -> float:
    """Return the width at which the dear judge reads ``share`` of pairs with these scores.

    >>> float(width_for(np.array([0.5, 0.6, 0.9, 0.01]), 0.5)) < 0.5
    True

    Raises:
        ValueError: there are no scores.
    """
    if not len(scores):
        raise ValueError("expected scores of development pairs, got none; hold out more questions")
    if share <= 0:
        return 0.0
    return float(np.quantile(np.abs(margins(scores)), min(share, 1.0))) if share < 1 else np.inf
