"""Redundancy, ROC in the paper's axes, pass@k, and intervals that resample questions.

Positive means *same answer* throughout. The paper plots the false negative rate (redundant
pairs kept by mistake) against the true negative rate (different pairs rightly kept apart).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepprune_core.pairs import PairSet


@dataclass(frozen=True)
class Redundancy:
    """Share of pairs with the same answer.

    ``micro``: over all pairs; ``macro``: mean over questions; ``per_question``: (q,) shares of
    the questions that have a gradable pair.
    """

    micro: float
    macro: float
    per_question: np.ndarray
    num_pairs: int

    @property
    def num_questions(self) -> int:
        return len(self.per_question)


def redundancy(pairs: PairSet) -> Redundancy:
    """Return the redundancy of a pair set (paper, Figure 2a); NaN where there is no pair."""
    if not len(pairs):
        return Redundancy(float("nan"), float("nan"), np.zeros(0), 0)
    _, question = np.unique(pairs.question, return_inverse=True)
    share = np.bincount(question, weights=pairs.same) / np.bincount(question)
    return Redundancy(float(pairs.same.mean()), float(share.mean()), share, len(pairs))


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve, ties counted half; NaN if only one label occurs.

    This is the Mann-Whitney statistic: the share of (same, different) pairs of rows in which
    the same-answer row has the higher score.
    """
    from scipy.stats import rankdata

    labels = np.asarray(labels, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = float(rankdata(scores)[labels].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def within_question_auroc(questions: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean AUROC over the questions that have both kinds of pair; NaN without any.

    Pooled AUROC rises by merely knowing which questions are hard. This one does not: it asks
    whether the judge can choose among the pairs of one question, as the pruner must.
    """
    values = [
        auroc(labels[rows], scores[rows])
        for rows in (questions == q for q in np.unique(questions))
        if 0 < labels[rows].sum() < rows.sum()
    ]
    return float(np.mean(values)) if values else float("nan")


def question_oracle(questions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each pair's score by a reader of no trace: ``(n,)`` float64.

    The score is the agreement rate of the question's other pairs, 0.5 where there are none.
    """
    _, group = np.unique(questions, return_inverse=True)
    same, size = np.bincount(group, weights=labels)[group], np.bincount(group)[group]
    others = np.maximum(size - 1, 1)
    return np.where(size > 1, (same - labels) / others, 0.5)


def roc_fnr_tnr(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve in the paper's axes: (fnr, tnr), both rising from 0 to 1.

    A pair is called *same* when its score reaches the threshold. The curve has a point per
    distinct score; between points it is linear (ties are split at random).
    """
    labels, scores = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))  # end of each run of ties
    missed = np.concatenate([[0], np.cumsum(labels[order])[last]])
    kept_apart = np.concatenate([[0], np.cumsum(~labels[order])[last]])
    return missed / labels.sum(), kept_apart / (~labels).sum()


def tnr_at_fnr(labels: np.ndarray, scores: np.ndarray, fnr: float = 0.2) -> float:
    """Return the true negative rate where the false negative rate is ``fnr`` (paper: 0.2)."""
    return float(tnr_over_fnr(labels, scores, np.array([fnr]))[0])


def tnr_over_fnr(labels: np.ndarray, scores: np.ndarray, fnr: np.ndarray) -> np.ndarray:
    """Return the true negative rates at many false negative rates: ``(len(fnr),)`` float64.

    Linear interpolation between the two neighbouring points of the curve; where the curve
    rises vertically, its top. NaN if only one label occurs.
    """
    if len(np.unique(labels)) < 2:
        return np.full(len(fnr), np.nan)
    x, y = roc_fnr_tnr(labels, scores)
    after = np.searchsorted(x, fnr + 1e-12, side="right")
    right = np.minimum(after, len(x) - 1)
    left = after - 1
    step = np.where(right > left, x[right] - x[left], 1.0)
    return y[left] + (y[right] - y[left]) * (fnr - x[left]) / step


def pass_at_k(num_traces: int, num_correct: int, k: int) -> float:
    """Return the unbiased estimate that one of ``k`` traces is right (Chen et al. 2021, eq. 1).

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    if not 0 < k <= num_traces or not 0 <= num_correct <= num_traces:
        raise ValueError(
            f"expected 0 < k <= n and 0 <= correct <= n, got k={k}, n={num_traces}, "
            f"correct={num_correct}"
        )
    wrong = num_traces - num_correct
    if wrong < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(wrong + 1, num_traces + 1)))


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval over ``num_questions`` questions.

    ``num_undefined`` draws had no value (one label only, say) and were left out.
    """

    value: float
    low: float
    high: float
    num_questions: int
    num_undefined: int = 0


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    groups: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a statistic and its percentile interval from resampling whole questions.

    ``statistic`` maps row indices to a number; ``groups``: (n,) the question of each row.
    Pairs of one question are not independent, so a question comes with all of its rows; one
    question alone has no interval (NaN).

    Raises:
        ValueError: no rows, or a level outside (0, 1).
    """
    groups = np.asarray(groups)
    if not len(groups) or not 0 < level < 1:
        raise ValueError(f"expected rows and a level in (0, 1), got {len(groups)} and {level}")
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    members = np.split(order, starts[1:])
    values = np.empty(draws)
    for i in range(draws):
        drawn = rng.integers(0, len(members), len(members))
        values[i] = statistic(np.concatenate([members[j] for j in drawn]))
    known = values[~np.isnan(values)]
    whole = statistic(np.arange(len(groups)))
    if not len(known) or len(names) == 1:
        return Interval(whole, float("nan"), float("nan"), len(names), draws - len(known))
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(whole, float(low), float(high), len(names), draws - len(known))


def bootstrap_mean(
    values: np.ndarray, *, rng: np.random.Generator, draws: int = 1000, level: float = 0.95
) -> Interval:
    """Return the mean of one value a question with its bootstrap interval; NaN are left out.

    One question alone has no interval (NaN).
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    if len(values) == 1:
        return Interval(float(values[0]), float("nan"), float("nan"), 1)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), len(values))
