"""The control: its curve against brute force, and the matched budget."""

from itertools import permutations

import numpy as np

from deepprune_core.peers.self_consistency import majority_curve, matched, stack
from deepprune_core.voting import majority

CLASSES, TOKENS = np.array([0, 1, 1, 0, 0]), np.array([10, 20, 30, 40, 50])


def test_the_curve_is_the_average_over_all_orders():
    curve = majority_curve(CLASSES, TOKENS, 0, draws=20_000, rng=np.random.default_rng(0))
    for k in range(1, 6):
        votes = [majority(CLASSES[list(p[:k])]).winner == 0 for p in permutations(range(5))]
        assert abs(curve.accuracy[0, k - 1] - np.mean(votes)) < 0.015
        assert abs(curve.tokens[0, k - 1] - 30 * k) < 1.0


def test_all_traces_cost_all_tokens():
    curve = majority_curve(CLASSES, TOKENS, 0, draws=10, rng=np.random.default_rng(0))
    assert curve.tokens[0, -1] == TOKENS.sum()


def test_a_budget_between_two_k_is_interpolated_and_ends_are_held():
    curve = majority_curve(CLASSES, np.full(5, 10), 0, draws=500, rng=np.random.default_rng(0))
    both = stack([curve, curve])
    accuracy, k = matched(both, np.array([25.0, 1e9]))
    assert k.tolist() == [2.5, 5.0]
    assert accuracy[0] == np.mean(curve.accuracy[0, 1:3])
    assert accuracy[1] == curve.accuracy[0, -1]


def test_ungradable_traces_cost_tokens_and_never_win():
    curve = majority_curve(
        np.array([-1, -1, 2]), np.full(3, 10), 2, draws=300, rng=np.random.default_rng(0)
    )
    assert curve.accuracy[0, -1] == 1.0
    assert 0.2 < curve.accuracy[0, 0] < 0.5
