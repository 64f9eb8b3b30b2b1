"""The replay: cost identities, limits, and a question worked out by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.ledger import TraceState
from deepprune_core.pruner import (
    PruningConfig,
    StoredQuestion,
    pair_inputs,
    replay,
    symmetric_matrix,
)


def question(seed=0, n=12, *, scores=None):
    """Return a question whose scores are an oracle's: 1 within a class, 0 between classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(-1, 3, n)
    full = rng.integers(50, 100, n)
    oracle = (classes[:, None] == classes[None]).astype(float)
    return StoredQuestion(
        "q", 0, classes, full, rng.integers(10, 50, n), oracle if scores is None else scores,
        np.full((n, n), 7),
    )  # fmt: skip


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    finish=st.sampled_from(["largest_cluster", "survivors"]),
    vote=st.sampled_from(["majority", "cluster_weighted"]),
    overflow=st.sampled_from(["join_best", "keep_alone", "stop"]),
)
def test_every_token_has_one_account_and_every_trace_one_state(seed, finish, vote, overflow):
    stored = question(seed)
    rng = np.random.default_rng(seed)
    config = PruningConfig(ClusteringConfig(0.5, 2, 3, overflow), finish, vote, k2=3, k3=3)
    order = rng.permutation(12)
    found = replay(stored, order, config, rng)
    done = np.array([state is TraceState.FINISHED for state in found.states])
    assert sorted(np.flatnonzero(done)) == sorted(found.finished)
    assert found.ledger.kept == stored.num_tokens[done].sum()
    assert found.ledger.pruned == stored.prefix_tokens[~done].sum()
    assert found.ledger.baseline == stored.num_tokens.sum()
    assert found.ledger.judge == 7 * found.ledger.judge_calls > 0


def test_a_judge_that_encodes_once_is_paid_once_for_every_trace_it_meets():
    stored = question(3)
    once = dataclasses.replace(
        stored, judge_tokens=np.zeros((12, 12), int), encode_tokens=np.arange(12) + 100
    )
    few = [4, 9, 2, 7]
    paired, paid = (
        replay(q, few, PruningConfig(), np.random.default_rng(0)) for q in (stored, once)
    )
    assert (paid.clustering.asked == paired.clustering.asked).all()
    assert paid.ledger.judge == sum(100 + t for t in few)
    assert replay(once, [4], PruningConfig(), np.random.default_rng(0)).ledger.judge == 0


def test_nothing_pruned_saves_exactly_nothing_gross_and_less_than_nothing_net():
    stored = question(scores=np.zeros((12, 12)))
    config = PruningConfig(ClusteringConfig(max_clusters=99), "survivors")
    found = replay(stored, range(12), config, np.random.default_rng(0))
    assert found.ledger.saved_gross == 0.0
    assert found.ledger.saved_net() < 0


def test_a_judge_that_sees_no_difference_keeps_one_trace_under_survivors():
    stored = question(scores=np.ones((12, 12)))
    found = replay(
        stored, [3, *(t for t in range(12) if t != 3)], PruningConfig(finish="survivors"),
        np.random.default_rng(0),
    )  # fmt: skip
    assert found.finished == (3,)
    assert found.ledger.kept == stored.num_tokens[3]


def test_an_oracle_judge_votes_for_the_most_frequent_class():
    for seed in range(20):
        stored = question(seed, n=30)
        gradable = stored.classes[stored.classes >= 0]
        counts = np.bincount(gradable)
        if np.sum(stored.classes == -1) >= counts.max() or (counts == counts.max()).sum() > 1:
            continue
        found = replay(stored, range(30), PruningConfig(), np.random.default_rng(seed))
        assert found.vote.winner == counts.argmax()


def test_members_beyond_k2_are_not_chosen():
    stored = question(scores=np.ones((12, 12)))
    found = replay(stored, range(12), PruningConfig(k2=5), np.random.default_rng(0))
    assert found.states.count(TraceState.FINISHED) == 5
    assert found.states.count(TraceState.NOT_CHOSEN) == 7


def test_a_confidence_vote_without_confidences_is_refused():
    config = PruningConfig(vote="confidence_weighted")
    with pytest.raises(ValueError, match="confidences"):
        replay(question(), range(12), config, np.random.default_rng(0))


def test_pairs_are_read_in_the_order_of_trace_indices():
    rows, inputs = pair_inputs("Q", ["a", "b", "c"])
    assert [(p.first, p.second) for p in inputs] == [("a", "b"), ("a", "c"), ("b", "c")]
    matrix = symmetric_matrix(3, rows, np.array([1, 2, 3]))
    assert matrix.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
