"""ReASC (Kim et al. 2026, arXiv 2601.02970): adaptive consistency whose votes weigh, replayed.

A first trace that is sure of itself answers alone. Otherwise traces are asked one after the other,
a confident one adds more than one vote, and the test of adaptive consistency ends it. What *sure*
means is learned from confidences of other traces, without their answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.answers import UNGRADABLE
from deepprune_core.peers.stopping import StoppedVote, adaptive_consistency, stopped_vote

# The authors' settings.
WINDOW = 128  # tokens in a group
LOWEST = 10  # one group in ten, the least confident ones, speaks for a trace
SLOPE = 0.7  # of a vote's log-weight, per standard deviation
SURE = 0.90  # probability of the confident kind, from which one trace is enough
LEAD = 0.95  # probability of the lead at which no more traces are asked


def trace_confidence(confidences: np.ndarray, window: int = WINDOW) -> float:
    """Return the mean of the lowest tenth of a trace's group confidences, in nats.

    ``confidences``: (tokens,). A group begins at each token and holds ``window`` of them, at the
    end fewer. A trace of no token has 0.

    >>> trace_confidence(np.array([4.0, 2.0, 6.0]), window=2)
    3.0
    """
    values = np.asarray(confidences, dtype=np.float64)
    if not len(values):
        return 0.0
    total = np.concatenate([[0.0], np.cumsum(values)])
    start = np.arange(len(values))
    end = np.minimum(start + window, len(values))
    groups = np.sort((total[end] - total[start]) / (end - start))
    return float(groups[: max(1, len(groups) // LOWEST)].mean())


@dataclass(frozen=True)
class Calibration:
    """``mean`` and ``spread`` scale a trace's confidence; at ``sure`` one trace is enough."""

    mean: float
    spread: float
    sure: float

    def weights(self, scores: np.ndarray) -> np.ndarray:
        """Return how many votes each confidence is worth: (n,), at least 1."""
        z = (np.asarray(scores) - self.mean) / self.spread if self.spread else np.zeros(len(scores))
        return np.maximum(1.0, np.exp(SLOPE * z))


def calibrate(scores: np.ndarray, *, seed: int = 0) -> Calibration:
    """Return the calibration from confidences (n,) of one trace a question; no answers are used.

    Two normal distributions are fitted. ``sure`` is the lowest score that belongs to the upper one
    with probability 0.9, and never lower than its mean. Equal scores tell nothing: none is sure.

    Raises:
        ValueError: fewer than two scores.
    """
    if len(scores) < 2:
        raise ValueError(f"expected confidences of 2 traces or more, got {len(scores)}")
    from sklearn.mixture import GaussianMixture

    known = np.sort(np.asarray(scores, dtype=np.float64))
    if known[0] == known[-1]:
        return Calibration(float(known[0]), 0.0, float("inf"))
    mixture = GaussianMixture(n_components=2, random_state=seed).fit(known[:, None])
    upper = int(mixture.means_[:, 0].argmax())
    likely = known[mixture.predict_proba(known[:, None])[:, upper] >= SURE]
    sure = max(float(mixture.means_[upper, 0]), float(likely[0] if len(likely) else known[-1]))
    return Calibration(float(known.mean()), float(known.std()), sure)


def reasc(
    classes: np.ndarray,
    num_tokens: np.ndarray,
    gold_class: int,
    order: Sequence[int],
    *,
    scores: np.ndarray,
    calibration: Calibration,
) -> StoppedVote:
    """Return the weighted vote once one trace is sure, or the leader's lead is.

    ``classes``, ``num_tokens``, ``scores``: (n,), one a trace; ``scores`` are those of
    :func:`trace_confidence`. Ungradable traces cost but do not count.
    """
    weights = calibration.weights(scores)
    if any(classes[t] != UNGRADABLE and scores[t] >= calibration.sure for t in order[:1]):
        return stopped_vote(classes, num_tokens, gold_class, order, 1, weights)
    return adaptive_consistency(
        classes, num_tokens, gold_class, order, confidence=LEAD, weights=weights
    )
