"""Metrics against scikit-learn, scipy and brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from deepprune_core.metrics import (
    auroc,
    bootstrap,
    bootstrap_mean,
    pass_at_k,
    question_oracle,
    redundancy,
    roc_fnr_tnr,
    tnr_at_fnr,
    within_question_auroc,
)
from deepprune_core.pairs import PairSet

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(scored)
def test_auroc_is_that_of_scikit_learn_ties_included(rows):
    labels, scores = map(np.array, zip(*rows, strict=True))
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


@given(scored)
def test_the_curve_is_scikit_learns_in_the_papers_axes(rows):
    labels, scores = map(np.array, zip(*rows, strict=True))
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    fnr, tnr = roc_fnr_tnr(labels, scores)
    np.testing.assert_allclose(fnr, (1 - tpr)[::-1], atol=1e-12)
    np.testing.assert_allclose(tnr, (1 - fpr)[::-1], atol=1e-12)


@given(scored, st.floats(0, 1))
def test_tnr_lies_on_the_curve_and_never_falls_with_fnr(rows, fnr):
    labels, scores = map(np.array, zip(*rows, strict=True))
    x, y = roc_fnr_tnr(labels, scores)
    here = tnr_at_fnr(labels, scores, fnr)
    assert y[x <= fnr + 1e-9].max() - 1e-9 <= here <= y[x >= fnr - 1e-9].max() + 1e-9
    assert tnr_at_fnr(labels, scores, min(1.0, fnr + 0.1)) >= here - 1e-9


def test_tnr_between_two_points_is_interpolated():
    labels = np.array([1, 1, 0, 0], dtype=bool)
    # Threshold by threshold: (0, 0), (0, 0.5), (0.5, 1) where a tie holds one of each, (1, 1).
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert tnr_at_fnr(labels, scores, 0.2) == pytest.approx(0.5 + 0.5 * 0.2 / 0.5)


def test_one_label_only_has_no_auroc():
    assert np.isnan(auroc(np.ones(3), np.arange(3)))
    assert np.isnan(tnr_at_fnr(np.ones(3), np.arange(3)))


@pytest.mark.parametrize(
    ("n", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 2), (7, 1, 7)]
)
def test_pass_at_k_is_the_share_of_subsets_with_a_right_trace(n, right, k):
    marks = [True] * right + [False] * (n - right)
    share = np.mean([any(subset) for subset in combinations(marks, k)])
    assert pass_at_k(n, right, k) == pytest.approx(share)


def test_redundancy_averages_over_pairs_and_over_questions():
    question = np.array([0, 0, 0, 1])
    pairs = PairSet(question, np.zeros(4, int), np.ones(4, int), np.array([1, 1, 0, 0], bool))
    found = redundancy(pairs)
    assert (found.micro, found.macro) == (0.5, pytest.approx((2 / 3 + 0) / 2))


def test_bootstrap_resamples_questions_not_rows():
    # Two questions, one all right and one all wrong: a draw is 0, 0.5 or 1 and nothing else.
    groups, values = np.repeat([0, 1], 50), np.repeat([0.0, 1.0], 50)
    seen = set()

    def mean(rows):
        seen.add(float(values[rows].mean()))
        return float(values[rows].mean())

    interval = bootstrap(mean, groups, rng=np.random.default_rng(0), draws=200)
    assert seen == {0.0, 0.5, 1.0}
    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)
    assert interval.num_questions == 2


def test_bootstrap_of_means_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        found = bootstrap_mean(rng.normal(size=40), rng=rng, draws=300)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 300 <= 0.98


def test_bootstrap_of_one_question_has_no_interval():
    rng = np.random.default_rng(2)
    several = bootstrap(lambda rows: float(len(rows)), np.zeros(7, int), rng=rng, draws=10)
    for found, value in ((several, 7.0), (bootstrap_mean(np.array([0.4]), rng=rng), 0.4)):
        assert (found.value, found.num_questions) == (value, 1)
        assert np.isnan([found.low, found.high]).all()


def test_bootstrap_counts_draws_without_a_value():
    found = bootstrap(
        lambda rows: float("nan"), np.arange(3), rng=np.random.default_rng(0), draws=10
    )
    assert found.num_undefined == 10


@given(st.integers(0, 2**32 - 1))
def test_within_question_auroc_is_the_mean_of_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    questions, labels = rng.integers(0, 5, 60), rng.integers(0, 2, 60).astype(bool)
    scores = rng.integers(0, 9, 60) / 9
    groups = [questions == q for q in range(5)]
    expected = [
        roc_auc_score(labels[g], scores[g]) for g in groups if 0 < labels[g].sum() < g.sum()
    ]
    assert within_question_auroc(questions, labels, scores) == pytest.approx(np.mean(expected))


def test_knowing_the_question_helps_pooled_but_not_within() -> None:
    questions = np.repeat([0, 1], 4)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1], bool)
    knows = np.repeat([0.9, 0.1], 4)
    assert auroc(labels, knows) == pytest.approx(0.75)
    assert within_question_auroc(questions, labels, knows) == pytest.approx(0.5)
    assert np.isnan(within_question_auroc(questions[:1], labels[:1], knows[:1]))


def test_question_oracle_leaves_the_pair_itself_out() -> None:
    oracle = question_oracle(np.array([7, 7, 7, 9]), np.array([1, 1, 0, 1]))
    np.testing.assert_allclose(oracle, [0.5, 0.5, 1.0, 0.5])
