"""ReASC against a plain double loop, adaptive consistency and calibrations worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from deepprune_core.answers import UNGRADABLE
from deepprune_core.peers.reasc import SURE, Calibration, calibrate, reasc, trace_confidence
from deepprune_core.peers.stopping import adaptive_consistency

NEVER = Calibration(mean=0.0, spread=1.0, sure=math.inf)


@given(st.lists(st.floats(0, 20, width=16), min_size=1, max_size=40), st.integers(1, 50))
def test_confidence_is_that_of_the_lowest_tenth_of_all_groups(values, window):
    groups = sorted(
        sum(values[i : i + window]) / len(values[i : i + window]) for i in range(len(values))
    )
    lowest = groups[: max(1, len(groups) // 10)]
    expected = sum(lowest) / len(lowest)
    assert trace_confidence(np.array(values), window) == pytest.approx(expected, abs=1e-9)


def test_a_constant_more_on_every_token_changes_no_decision():
    rng = np.random.default_rng(0)
    tokens = [rng.uniform(5, 15, 200) for _ in range(40)]
    scores, shifted = (np.array([trace_confidence(t + c) for t in tokens]) for c in (0, 3))
    one, other = calibrate(scores), calibrate(shifted)
    np.testing.assert_allclose(one.weights(scores), other.weights(shifted), rtol=1e-6)
    assert other.sure - one.sure == pytest.approx(3, abs=0.05)


def test_one_trace_is_enough_where_the_upper_of_two_kinds_is_likely():
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(4, 1.0, 400), rng.normal(10, 1.0, 600)])
    found = calibrate(scores)
    low, high = 0.4 * norm.pdf(found.sure, 4, 1), 0.6 * norm.pdf(found.sure, 10, 1)
    assert high / (low + high) >= SURE
    assert found.sure == pytest.approx(10, abs=0.2)  # never lower than the upper kind's mean
    assert (found.mean, found.spread) == (pytest.approx(scores.mean()), pytest.approx(scores.std()))


def test_equal_confidences_weigh_one_vote_each():
    found = calibrate(np.full(5, 3.0))
    assert found.sure == math.inf
    assert found.weights(np.full(4, 3.0)).tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="2 traces or more"):
        calibrate(np.array([1.0]))


def test_a_sure_first_trace_answers_alone_and_a_later_one_does_not():
    classes, tokens = np.array([1, 0, 0, 0, 0, 0]), np.arange(10, 16)
    scores = np.array([9.0, 0, 0, 0, 0, 0])
    calibration = Calibration(mean=9.0, spread=1.0, sure=8.0)
    alone = reasc(classes, tokens, 1, range(6), scores=scores, calibration=calibration)
    assert alone.finished == (0,) and alone.right and alone.ledger.kept == 10
    later = reasc(classes, tokens, 1, [1, 0, 2, 3, 4, 5], scores=scores, calibration=calibration)
    assert later.finished == (1, 0, 2, 3, 4, 5)
    unread = np.array([UNGRADABLE, 0, 0, 0, 0, 0])
    assert len(reasc(unread, tokens, 0, range(6), scores=scores,
                     calibration=calibration).finished) == 5  # fmt: skip


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=16))
def test_without_confidence_it_is_adaptive_consistency(names):
    classes, tokens = np.array(names), np.arange(1, len(names) + 1)
    plain = adaptive_consistency(classes, tokens, 0, range(len(names)))
    found = reasc(classes, tokens, 0, range(len(names)), scores=np.full(len(names), -5.0),
                  calibration=NEVER)  # fmt: skip
    assert (found.finished, found.vote, found.ledger) == (plain.finished, plain.vote, plain.ledger)


def test_confident_traces_weigh_more_and_end_it_sooner():
    # A trace two spreads above the mean is worth exp(1.4) = 4.06 votes: 1 - 2 ** -5.06 > 0.95.
    scores, classes = np.array([2.0, 0, 0, 0, 0]), np.zeros(5, int)
    found = reasc(classes, np.ones(5, int), 0, range(5), scores=scores, calibration=NEVER)
    assert found.finished == (0,)
    assert found.vote.weights == ((0, pytest.approx(math.exp(1.4))),)
    split = reasc(np.array([1, 0, 0, 2, 3]), np.ones(5, int), 1, range(5),
                  scores=np.array([1.9, 0, 0, 0, 0]), calibration=NEVER)  # fmt: skip
    assert split.right  # three votes and more against two
