"""DeepConf by hand, by brute force, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.peers.deepconf import (
    DeepConfConfig,
    deepconf,
    group_confidence,
    prepare,
    stop_at,
)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=40), st.integers(1, 12))
def test_groups_are_means_over_full_windows(values, window):
    found = group_confidence(np.array(values), window)
    if len(values) <= window:
        expected = [np.mean(values)]
    else:
        expected = [np.mean(values[i : i + window]) for i in range(len(values) - window + 1)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_trace_stops_at_the_end_of_its_first_low_window():
    groups = group_confidence(np.array([5.0, 5, 5, 1, 1, 5]), 2)
    assert stop_at(groups, 2.0, 2, 6) == 5
    assert stop_at(groups, 0.5, 2, 6) is None


def test_a_trace_shorter_than_the_window_cannot_be_stopped():
    assert stop_at(np.array([0.0]), 9.0, 10, 5) is None


def world(seed, n=24, window=4):
    rng = np.random.default_rng(seed)
    confidences = [rng.uniform(1, 9, rng.integers(3, 30)) for _ in range(n)]
    return prepare(confidences, rng.integers(-1, 3, n), 0, window)


@pytest.mark.parametrize("keep", [10, 90])
def test_every_arrived_token_is_paid_once(keep):
    config = DeepConfConfig(keep, warmup=8, window=4, consensus=1.1)
    for seed in range(20):
        traces = world(seed)
        found = deepconf(traces, range(24), config)
        voters = set(found.finished)
        assert not voters & set(found.stopped)
        finished_later = [t for t in range(8, 24) if t in voters]
        assert found.ledger.kept == traces.num_tokens[[*range(8), *finished_later]].sum()
        assert found.ledger.pruned <= traces.num_tokens[list(found.stopped)].sum()
        assert found.ledger.baseline == traces.num_tokens.sum()


def test_low_keeps_fewer_warm_up_traces_than_high():
    low, high = DeepConfConfig(10, 10, 4, 1.1), DeepConfConfig(90, 10, 4, 1.1)
    for seed in range(10):
        traces = world(seed)
        kept = [sum(t < 10 for t in deepconf(traces, range(24), c).finished) for c in (low, high)]
        assert kept == [1, 9]


def test_agreement_ends_sampling_after_the_warm_up():
    traces = prepare([np.full(10, 5.0)] * 20, np.zeros(20, int), 0, 4)
    found = deepconf(traces, range(20), DeepConfConfig(90, warmup=6, window=4))
    assert found.ledger.generated == 60 and found.right


def test_a_class_without_a_vote_never_wins():
    traces = prepare([np.full(10, 5.0)] * 4, np.full(4, -1), 0, 4)
    assert not deepconf(traces, range(4), DeepConfConfig(90, warmup=2, window=4)).right
