"""Stopping rules against closed forms, quadrature in high precision and by hand."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.answers import UNGRADABLE
from deepprune_core.peers.stopping import (
    adaptive_consistency,
    early_stopping,
    probability_of_lead,
    votes_to_decide,
)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_lead_is_the_exact_binomial_sum(first, second):
    # P(Beta(a, b) > 1/2) = P(Binomial(a + b - 1, 1/2) < a), with integers all the way.
    n = first + second + 1
    exact = Fraction(sum(comb(n, k) for k in range(first + 1)), 2**n)
    assert probability_of_lead(first, second) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(450, 60), (1500, 500), (600, 400)])
def test_the_lead_stays_a_probability_at_many_traces(first, second):
    assert 0.999 < probability_of_lead(first, second) <= 1.0


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.6, 0.9, 0.95, 0.99]))
def test_so_many_votes_decide_and_one_fewer_does_not(first, second, confidence):
    more = votes_to_decide(first, second, confidence)
    assert probability_of_lead(first + more, second) > confidence
    assert more == 1 or probability_of_lead(first + more - 1, second) <= confidence


def test_adaptive_consistency_stops_by_hand():
    classes, tokens = np.zeros(10, int), np.arange(10, 20)
    # 1 - 0.5 ** (n + 1) exceeds 0.95 first at n = 4.
    found = adaptive_consistency(classes, tokens, 0, range(10))
    assert found.finished == (0, 1, 2, 3)
    assert found.right and found.ledger.kept == 10 + 11 + 12 + 13
    assert found.ledger.baseline == tokens.sum()


def test_adaptive_consistency_asks_on_while_answers_differ():
    classes = np.array([0, 1] * 5)
    assert len(adaptive_consistency(classes, np.ones(10, int), 0, range(10)).finished) == 10


def test_ungradable_traces_cost_but_do_not_count():
    classes = np.array([UNGRADABLE] * 3 + [2] * 7)
    found = adaptive_consistency(classes, np.ones(10, int), 2, range(10))
    assert found.ledger.kept == 7 and found.right


def test_early_stopping_takes_windows_until_one_agrees():
    classes = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0])
    found = early_stopping(classes, np.ones(9, int), 1, range(9), window=3)
    assert found.finished == (0, 1, 2, 3, 4, 5)
    assert found.vote.winner == 1


def test_early_stopping_neither_trusts_a_short_last_window_nor_ungradable_ones():
    classes = np.array([0, 1, UNGRADABLE, UNGRADABLE, 1])
    found = early_stopping(classes, np.ones(5, int), 1, range(5), window=2)
    assert len(found.finished) == 5
    with pytest.raises(ValueError, match="at least 1 trace"):
        early_stopping(classes, np.ones(5, int), 1, range(5), window=0)
