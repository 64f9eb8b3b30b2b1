"""The threshold that suits a judge, chosen on development questions.

Focal loss and oversampling pull a judge's scores towards even odds, each judge's in its own way,
so one τ for all judges compares thresholds and not judges. The candidates are therefore drawn from
the judge's own scores: one half, and their deciles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.pruner import StoredQuestion
from replication.online import play_all
from replication.replays import play_pruning
from replication.run import GradedTraces, Run

DECILES = np.arange(1, 10) / 10


def candidate_taus(questions: Sequence[StoredQuestion]) -> list[float]:
    """Return 1/2 and the deciles of a judge's scores of different traces, to two digits."""
    scores = [q.scores[~np.eye(len(q.scores), dtype=bool)] for q in questions]
    deciles = np.quantile(np.concatenate(scores), DECILES)
    return sorted({0.5, *np.round(deciles, 2).tolist()})


def chosen_tau(run: Run, traces: GradedTraces, questions: Sequence[StoredQuestion]) -> float:
    """Return the τ with the best accuracy on development traces; the nearest to 1/2 among equals.

    ``questions``: the development questions as the judge sees them.
    """

    def accuracy(tau: float) -> float:
        play = play_pruning(questions, run.profile.pruning.config(tau=tau))
        return float(np.round(play_all(run, f"τ {tau}", traces, play).right.mean(), 6))

    return max(candidate_taus(questions), key=lambda tau: (accuracy(tau), -abs(tau - 0.5)))


def with_tau(run: Run, tau: float) -> Run:
    """Return the run with another threshold."""
    pruning = run.profile.pruning.model_copy(update={"tau": tau})
    return Run(run.profile.model_copy(update={"pruning": pruning}), run.out, run.work)
