"""Slim-SC replayed: who stops when, what it costs, and when it is a plain vote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.peers.slim_sc import SlimConfig, ThinkingTraces, slim_sc, thoughts
from deepprune_core.voting import majority


def drawn(seed: int, n: int = 6, each: int = 4) -> ThinkingTraces:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(80, 300, n)
    owner = np.repeat(np.arange(n), each)
    cuts = np.sort(rng.random((n, each)), axis=1) * lengths[:, None]
    end = cuts.astype(int)
    start = np.concatenate([np.zeros((n, 1), int), end[:, :-1]], axis=1)
    vectors = rng.normal(size=(n * each, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ThinkingTraces(
        owner, start.ravel(), end.ravel(), vectors @ vectors.T, lengths, rng.integers(0, 3, n), 1
    )


@given(st.text(alphabet="ab. \nWait"))
def test_thoughts_are_the_text_in_order(text):
    found = thoughts(text)
    assert "".join("".join(piece.split()) for piece, _ in found) == "".join(text.split())
    ends = [end for _, end in found]
    assert ends == sorted(ends) and (not ends or ends[-1] <= len(text))


@given(st.integers(0, 500))
def test_a_threshold_that_nothing_passes_is_a_plain_vote(seed):
    traces = drawn(seed)
    order = np.random.default_rng(seed).permutation(6).tolist()
    found = slim_sc(traces, order, SlimConfig(tau=1.0), np.random.default_rng(0))
    assert found.finished == tuple(order) and not found.stopped
    assert found.vote.winner == majority(traces.classes[order]).winner
    assert found.ledger.generated == found.ledger.baseline == traces.num_tokens.sum()


@given(st.integers(0, 500), st.floats(0, 0.99))
def test_stopped_traces_were_running_and_one_always_stays(seed, tau):
    traces = drawn(seed)
    found = slim_sc(traces, range(6), SlimConfig(tau=tau), np.random.default_rng(seed))
    assert found.finished and set(found.finished) | set(found.stopped) == set(range(6))
    for trace, when in found.stopped.items():
        assert 64 <= when < traces.num_tokens[trace]
        assert (when - 64) % 32 == 0
    kept = traces.num_tokens[list(found.finished)].sum()
    assert found.ledger.kept == kept and found.ledger.pruned == sum(found.stopped.values())
    assert found.ledger.judge <= traces.num_tokens.sum()


def test_of_equal_traces_one_is_left_by_hand():
    # Three traces of 100 tokens whose only early thought ends at 50: compared at 64, two stop.
    same = ThinkingTraces(
        np.arange(3), np.zeros(3, int), np.full(3, 50), np.ones((3, 3)), np.full(3, 100),
        np.zeros(3, int), 0,
    )  # fmt: skip
    found = slim_sc(same, [0, 1, 2], SlimConfig(), np.random.default_rng(0))
    assert len(found.finished) == 1 and set(found.stopped.values()) == {64}
    assert (found.ledger.kept, found.ledger.pruned, found.ledger.judge) == (100, 128, 150)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="tau in"):
        SlimConfig(tau=1.2)
