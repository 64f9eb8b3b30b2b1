"""Votes, ties and who may finish."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.voting import (
    cluster_weighted,
    largest_cluster_finish,
    majority,
    survivors_finish,
    weighted,
)


@given(st.lists(st.integers(-1, 4), max_size=30))
def test_the_majority_has_the_most_votes_and_came_first_among_equals(classes):
    vote = majority(np.array(classes, dtype=int))
    real = [c for c in classes if c != -1]
    if not real:
        assert vote.winner == -1
        return
    best = max(real.count(c) for c in real)
    assert vote.winner == next(c for c in real if real.count(c) == best)
    assert sum(weight for _, weight in vote.weights) == len(real)


def test_weights_decide():
    assert weighted([0, 1, 1], [3, 1, 1]).winner == 0
    assert weighted([0, 1, 1], [1, 1, 1]).share == pytest.approx(2 / 3)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="weights"):
        weighted([0], [-1.0])


def test_under_survivors_each_clusters_first_trace_finishes():
    assert survivors_finish([(4, 2), (0,), (7, 1)]) == (4, 0, 7)


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [(((0,), (1, 2, 3, 4)), (1, 2, 3)), (((0, 5), (1, 2)), (0, 5)), (((3,),), (3,)), ((), ())],
)
def test_the_largest_cluster_lets_k2_traces_finish(clusters, expected):
    rng = np.random.default_rng(0)
    assert largest_cluster_finish(clusters, k2=3, k3=2, rng=rng) == expected


def test_only_singletons_means_k3_random_traces_in_arrival_order():
    clusters = [(t,) for t in (5, 3, 8, 1)]
    drawn = {
        largest_cluster_finish(clusters, k2=9, k3=2, rng=np.random.default_rng(s))
        for s in range(40)
    }
    assert len(drawn) > 3
    assert all([5, 3, 8, 1].index(a) < [5, 3, 8, 1].index(b) for a, b in drawn)


def test_a_clusters_size_is_shared_among_its_finishers():
    clusters, classes = ((0, 1, 2, 3), (4, 5)), np.array([7, 8, 7, 7, 8, 8])
    vote = cluster_weighted(clusters, (0, 1, 4), classes)
    assert dict(vote.weights) == {7: 2.0, 8: 4.0}
