"""The threshold that suits a judge, chosen on development questions.

Focal loss and oversampling pull a judge's scores towards even odds, each judge's in its own way,
so one τ for all judges compares thresholds and not judges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.pruner import StoredQuestion
from replication.online import play_all
from replication.replays import play_pruning
from replication.run import GradedTraces, Run

TAUS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


def chosen_tau(run: Run, traces: GradedTraces, questions: Sequence[StoredQuestion]) -> float:
    """Return the τ with the best accuracy on development traces; the nearest to 1/2 among equals.

    ``questions``: the development questions as the judge sees them.
    """

    def accuracy(tau: float) -> float:
        play = play_pruning(questions, run.profile.pruning.config(tau=tau))
        return float(np.round(play_all(run, f"τ {tau}", traces, play).right.mean(), 6))

    return max(TAUS, key=lambda tau: (accuracy(tau), -abs(tau - 0.5)))


def with_tau(run: Run, tau: float) -> Run:
    """Return the run with another threshold."""
    pruning = run.profile.pruning.model_copy(update={"tau": tau})
    return Run(run.profile.model_copy(update={"pruning": pruning}), run.out, run.work)
