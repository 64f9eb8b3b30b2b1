"""The pruning loop: truncate, judge, cluster, finish a few, vote, and account for every token.

:func:`replay` runs it on stored traces, :mod:`deepprune_core.live.deepprune` on a running
engine. Both share the clusterer, the finishing rules and the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from deepprune_core.answers import UNGRADABLE
from deepprune_core.clustering import Clustering, ClusteringConfig, ScorePairs, greedy_cluster
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.ledger import Ledger, TraceState
from deepprune_core.voting import (
    Vote,
    cluster_weighted,
    largest_cluster_finish,
    majority,
    survivors_finish,
    weighted,
)

FinishRule = Literal["largest_cluster", "survivors"]
VoteRule = Literal["majority", "cluster_weighted", "confidence_weighted"]


@dataclass(frozen=True)
class PruningConfig:
    """Who finishes and how they vote.

    ``largest_cluster``: the first ``min(size, k2)`` traces of the largest cluster finish, or
    ``k3`` random traces if every cluster is a singleton (paper, section 3). ``survivors``:
    every cluster's first trace finishes, the seed article's simpler rule.
    """

    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    finish: FinishRule = "largest_cluster"
    vote: VoteRule = "majority"
    k2: int = 20
    k3: int = 20

    def with_tau(self, tau: float) -> PruningConfig:
        """Return the settings with another threshold."""
        return replace(self, clustering=replace(self.clustering, tau=tau))


@dataclass(frozen=True)
class StoredQuestion:
    """One question's n stored traces, as the replay needs them.

    ``scores``: (n, n) symmetric P(same); ``judge_tokens``: (n, n) prompt tokens a pair costs;
    ``encode_tokens``: (n,) prompt tokens that the judge reads once for a trace it is asked about
    (None: it reads pairs only);
    ``prefix_tokens`` and ``num_tokens``: (n,) tokens at the truncation point and in full;
    ``classes``: (n,) answer classes; ``confidence``: (n,) a weight per trace, or None.
    """

    question_id: str
    gold_class: int
    classes: np.ndarray
    num_tokens: np.ndarray
    prefix_tokens: np.ndarray
    scores: np.ndarray
    judge_tokens: np.ndarray
    confidence: np.ndarray | None = None
    encode_tokens: np.ndarray | None = None


@dataclass(frozen=True)
class Outcome:
    """What pruning gave for one question.

    ``finished``: indices of the traces that ran to their end, in arrival order; ``states``:
    one per trace; ``right``: whether the vote's winner is the gold class, where that is known.
    """

    clustering: Clustering
    finished: tuple[int, ...]
    states: tuple[TraceState, ...]
    vote: Vote
    ledger: Ledger
    right: bool


def finishing(
    clustering: Clustering, config: PruningConfig, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return which traces run to their end under the configured rule."""
    if config.finish == "survivors":
        return survivors_finish(clustering.clusters)
    return largest_cluster_finish(clustering.clusters, k2=config.k2, k3=config.k3, rng=rng)


def cast_vote(
    clustering: Clustering,
    finished: Sequence[int],
    classes: np.ndarray,
    config: PruningConfig,
    confidence: np.ndarray | None = None,
) -> Vote:
    """Return the vote of the finished traces; ``classes`` and ``confidence`` cover all traces.

    Raises:
        ValueError: a confidence-weighted vote without confidences.
    """
    if config.vote == "cluster_weighted":
        return cluster_weighted(clustering.clusters, finished, classes)
    rows = list(finished)
    if config.vote == "majority":
        return majority(classes[rows])
    if confidence is None:
        raise ValueError("expected trace confidences for this vote, got none; sample with them")
    return weighted(classes[rows], confidence[rows])


def states_of(
    num_traces: int, clustering: Clustering, finished: Sequence[int], rule: FinishRule
) -> tuple[TraceState, ...]:
    """Return the one state of every trace."""
    states = [TraceState.PRUNED] * num_traces
    if rule == "largest_cluster":
        for trace in max(clustering.clusters, key=len, default=()):
            states[trace] = TraceState.NOT_CHOSEN
    for trace in clustering.stopped:
        states[trace] = TraceState.OVERFLOW
    for trace in finished:
        states[trace] = TraceState.FINISHED
    return tuple(states)


@dataclass(frozen=True)
class Clustered:
    """A question's clustering in one order of arrival; ``spent``: tokens the judge read."""

    clustering: Clustering
    judge_calls: int
    spent: int


def cluster_stored(
    question: StoredQuestion,
    order: Sequence[int],
    config: ClusteringConfig,
    rng: np.random.Generator,
) -> Clustered:
    """Return the clustering of stored traces that arrive in ``order``."""
    spent, met = 0, np.zeros(len(question.num_tokens), dtype=bool)

    def score(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        nonlocal spent
        i, j = np.array(pairs).T
        spent += int(question.judge_tokens[i, j].sum())
        met[i] = met[j] = True
        return question.scores[i, j]

    clustering = greedy_cluster(order, score, config, rng)
    if question.encode_tokens is not None:
        spent += int(question.encode_tokens[met].sum())
    return Clustered(clustering, clustering.judge_calls, spent)


def finish_stored(
    question: StoredQuestion,
    order: Sequence[int],
    clustered: Clustered,
    config: PruningConfig,
    rng: np.random.Generator,
) -> Outcome:
    """Return the outcome once traces are clustered: who finishes, the vote, the account.

    A trace that finishes is charged in full, every other one up to its truncation point.
    """
    clustering = clustered.clustering
    finished = finishing(clustering, config, rng)
    ended = np.zeros(len(question.num_tokens), dtype=bool)
    ended[list(finished)] = True
    arrived = np.zeros_like(ended)
    arrived[list(order)] = True
    ledger = Ledger(
        kept=int(question.num_tokens[ended].sum()),
        pruned=int(question.prefix_tokens[arrived & ~ended].sum()),
        baseline=int(question.num_tokens[arrived].sum()),
        judge=clustered.spent,
        judge_calls=clustered.judge_calls,
    )
    vote = cast_vote(clustering, finished, question.classes, config, question.confidence)
    states = states_of(len(ended), clustering, finished, config.finish)
    right = vote.winner == question.gold_class != UNGRADABLE
    return Outcome(clustering, finished, states, vote, ledger, right)


def replay(
    question: StoredQuestion, order: Sequence[int], config: PruningConfig, rng: np.random.Generator
) -> Outcome:
    """Return the outcome of pruning stored traces that arrive in ``order``."""
    clustered = cluster_stored(question, order, config.clustering, rng)
    return finish_stored(question, order, clustered, config, rng)


def pair_inputs(question: str, prefixes: Sequence[str]) -> tuple[np.ndarray, list[JudgeInput]]:
    """Return all pairs i < j as an index array (2, m) and as the judge reads them.

    A pair is always read in the order of trace indices, whichever trace arrives first, so a
    score is a property of the pair.
    """
    rows = np.stack(np.triu_indices(len(prefixes), k=1))
    return rows, [JudgeInput(question, prefixes[i], prefixes[j]) for i, j in rows.T.tolist()]


def symmetric_matrix(size: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the (size, size) matrix with ``values`` at ``rows`` (2, m) and mirrored."""
    matrix = np.zeros((size, size), dtype=np.asarray(values).dtype)
    matrix[rows[0], rows[1]] = matrix[rows[1], rows[0]] = values
    return matrix


__all__ = [
    "FinishRule", "Outcome", "PruningConfig", "ScorePairs", "StoredQuestion", "VoteRule",
    "cast_vote", "finishing", "pair_inputs", "replay", "states_of", "symmetric_matrix",
]  # fmt: skip
