"""Greedy clustering against a brute-force transcription of the rule, and by its properties."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepprune_core.clustering import ClusteringConfig, GreedyClusterer, greedy_cluster


def world(seed, n):
    """Return a random symmetric score matrix with about a third near 1."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random((n, n)) ** 0.7, 2)
    return np.triu(scores, 1) + np.triu(scores, 1).T


def scorer(matrix):
    return lambda pairs: np.array([matrix[i, j] for i, j in pairs])


def by_hand(order, matrix, config):
    """Transcribe the paper's rule for K1 so large that all members are representatives.

    It counts in fractions: a mean that equals tau is no more than tau, whatever floats add up to.
    """
    clusters, tau = [], Fraction(str(config.tau))
    for t in order:
        sims = []
        for cluster in clusters:
            values = [Fraction(round(100 * matrix[t, h]), 100) for h in cluster]
            if config.similarity == "vote":
                values = [Fraction(v > Fraction(1, 2)) for v in values]
            sims.append(sum(values) / len(values))
        if sims and max(sims) > tau:
            clusters[sims.index(max(sims))].append(t)
        elif len(clusters) < config.max_clusters or config.overflow == "keep_alone":
            clusters.append([t])
        elif config.overflow == "join_best":
            clusters[sims.index(max(sims))].append(t)
    return tuple(map(tuple, clusters))


configs = st.builds(
    ClusteringConfig,
    tau=st.sampled_from([0.0, 0.25, 0.5, 0.63, 0.75, 1.0]),
    max_clusters=st.integers(1, 6),
    max_representatives=st.just(99),
    overflow=st.sampled_from(["join_best", "keep_alone", "stop"]),
    similarity=st.sampled_from(["mean", "vote"]),
)


@settings(deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(0, 14), config=configs)
def test_it_is_the_papers_rule(seed, n, config):
    matrix = world(seed, n)
    order = np.random.default_rng(seed).permutation(n).tolist()
    found = greedy_cluster(order, scorer(matrix), config, np.random.default_rng(0))
    assert found.clusters == by_hand(order, matrix, config)


def test_a_mean_of_exactly_tau_opens_a_new_cluster_in_whatever_order_floats_are_added():
    scores = np.array([0.1, 0.2, 0.3])
    assert scores.sum() / 3 != sum(sorted(scores, reverse=True)) / 3  # the floats disagree

    def opened(order):
        row = {member: scores[i] for member, i in enumerate(order)}
        rule = ClusteringConfig(0.2, max_representatives=9)
        found = greedy_cluster(
            range(4), lambda pairs: np.array([row[m] if t == 3 else 1.0 for t, m in pairs]), rule,
            np.random.default_rng(0),
        )  # fmt: skip
        return found.clusters

    orders = itertools.permutations(range(3))
    assert {opened(order) for order in orders} == {((0, 1, 2), (3,))}


@settings(deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 14), config=configs)
def test_every_trace_has_one_place_and_the_cap_holds(seed, n, config):
    found = greedy_cluster(range(n), scorer(world(seed, n)), config, np.random.default_rng(seed))
    members = [t for cluster in found.clusters for t in cluster] + list(found.stopped)
    assert sorted(members) == list(range(n))
    if config.overflow != "keep_alone":
        assert len(found.clusters) <= config.max_clusters
    assert all(list(cluster) == sorted(cluster) for cluster in found.clusters)


def test_at_most_k1_representatives_a_cluster_are_asked():
    asked = []

    def score(pairs):
        asked.append(len(pairs))
        return np.ones(len(pairs))

    config = ClusteringConfig(max_representatives=3)
    found = greedy_cluster(range(9), score, config, np.random.default_rng(0))
    assert asked == [1, 2, 3, 3, 3, 3, 3, 3]
    assert found.judge_calls == sum(asked)
    assert found.clusters == (tuple(range(9)),)


def test_representatives_are_drawn_anew_from_the_whole_cluster():
    seen = set()

    def score(pairs):
        seen.update(member for _, member in pairs)
        return np.ones(len(pairs))

    config = ClusteringConfig(max_representatives=2)
    greedy_cluster(range(30), score, config, np.random.default_rng(0))
    assert len(seen) > 15


def test_one_fixed_representative_is_the_trace_that_opened_the_cluster():
    matrix, config = world(4, 30), ClusteringConfig(0.4, 5, 1, choice="first")
    found = greedy_cluster(range(30), scorer(matrix), config, np.random.default_rng(0))
    clusters = []  # the same rule, written down naively
    for trace in range(30):
        scores = [matrix[trace, cluster[0]] for cluster in clusters]
        best = int(np.argmax(scores)) if scores else 0
        if scores and (scores[best] > 0.4 or len(clusters) == 5):
            clusters[best].append(trace)
        else:
            clusters.append([trace])
    assert found.clusters == tuple(map(tuple, clusters))
    assert {member for _, member in found.asked} <= {cluster[0] for cluster in clusters}


@pytest.mark.parametrize("count", [1, 3])
def test_medoids_met_their_cluster_with_the_highest_mean_scores(count):
    matrix, config = world(6, 25), ClusteringConfig(0.0, 1, count, choice="medoid")
    asked = {}

    def score(pairs):
        for trace, member in pairs:
            asked.setdefault(trace, []).append(member)
        return scorer(matrix)(pairs)

    greedy_cluster(range(25), score, config, np.random.default_rng(0))
    met = {t: [] for t in range(25)}
    for trace, members in asked.items():
        assert members == sorted(members) and len(members) == min(count, trace)
        if trace > count:
            means = {t: np.mean(met[t]) for t in range(trace)}
            best = sorted(means.values())[-count:]
            np.testing.assert_allclose(sorted(means[m] for m in members), best)
        for member in members:
            met[trace].append(matrix[trace, member])
            met[member].append(matrix[trace, member])


def test_a_similarity_of_exactly_tau_opens_a_new_cluster():
    found = greedy_cluster(
        range(2), lambda pairs: np.full(len(pairs), 0.5), ClusteringConfig(tau=0.5),
        np.random.default_rng(0),
    )  # fmt: skip
    assert found.clusters == ((0,), (1,))


def test_the_same_seed_gives_the_same_clusters():
    matrix, config = world(5, 40), ClusteringConfig(max_representatives=2)
    one, two = (
        greedy_cluster(range(40), scorer(matrix), config, np.random.default_rng(3))
        for _ in range(2)
    )
    assert one.clusters == two.clusters and (one.asked == two.asked).all()


@pytest.mark.parametrize("bad", [np.array([1.5]), np.array([np.nan]), np.array([0.5, 0.5])])
def test_a_broken_judge_is_refused(bad):
    clusterer = GreedyClusterer(lambda pairs: bad, ClusteringConfig(), np.random.default_rng(0))
    clusterer.add(0)
    with pytest.raises(ValueError, match="scores in"):
        clusterer.add(1)


@pytest.mark.parametrize("fields", [{"tau": 1.1}, {"max_clusters": 0}, {"max_representatives": 0}])
def test_impossible_settings_are_refused(fields):
    with pytest.raises(ValueError, match="expected"):
        ClusteringConfig(**fields)
