"""Self-consistency (cons@N) and the control that the paper lacks: the same vote, cheaper.

The control answers: what does a plain majority vote over k random traces give at the same
number of tokens? If a pruned vote is no better than that, pruning bought nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MajorityCurve:
    """Majority votes of k traces at random: (q, k_max) means over draws, k = 1..k_max.

    ``tokens``: mean tokens of the k traces; ``accuracy``: share of draws whose vote was right.
    """

    tokens: np.ndarray
    accuracy: np.ndarray

    @property
    def k_max(self) -> int:
        return self.tokens.shape[1]


def majority_curve(
    classes: np.ndarray,
    num_tokens: np.ndarray,
    gold_class: int,
    *,
    draws: int,
    rng: np.random.Generator,
) -> MajorityCurve:
    """Return one question's curve (q = 1): majority over the first k of random orders.

    ``classes`` and ``num_tokens``: (n,). A running count per class gives all k of a draw at
    once; ties go to the class whose first vote came earliest, as in :func:`voting.majority`.
    """
    n = len(classes)
    right, tokens = np.zeros(n), np.zeros(n)
    for _ in range(draws):
        order = rng.permutation(n)
        right += _running_winners(classes[order]) == gold_class
        tokens += np.cumsum(num_tokens[order])
    return MajorityCurve(tokens[None] / draws, right[None] / draws)


def _running_winners(classes: np.ndarray) -> np.ndarray:
    """Return the majority's winner after each trace: (n,), -1 while nobody could vote."""
    counts: dict[int, int] = {}
    winners = np.empty(len(classes), dtype=np.int64)
    winner = -1
    for i, name in enumerate(classes.tolist()):
        if name >= 0:
            counts[name] = counts.get(name, 0) + 1
            top = max(counts.values())
            winner = next(c for c in counts if counts[c] == top)
        winners[i] = winner
    return winners


def stack(curves: list[MajorityCurve]) -> MajorityCurve:
    """Return the curves of several questions together, cut to the shortest."""
    k = min(curve.k_max for curve in curves)
    return MajorityCurve(
        np.concatenate([curve.tokens[:, :k] for curve in curves]),
        np.concatenate([curve.accuracy[:, :k] for curve in curves]),
    )


def matched(curve: MajorityCurve, budget: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (accuracy, k) per question of the vote that costs ``budget`` tokens: (q,) each.

    Between two k the accuracy is interpolated linearly in tokens; below one trace it is that
    of one trace, and beyond all traces that of all.
    """
    ks = np.arange(1, curve.k_max + 1)
    accuracy = [
        np.interp(b, t, a) for b, t, a in zip(budget, curve.tokens, curve.accuracy, strict=True)
    ]
    k = [np.interp(b, t, ks) for b, t in zip(budget, curve.tokens, strict=True)]
    return np.array(accuracy), np.array(k)
