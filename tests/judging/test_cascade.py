"""A cascade asks the dear judge for exactly the unclear pairs, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.judging.cascade import CascadeJudge, margins, unclear, width_for
from deepprune_core.judging.inputs import JudgeInput

PAIRS = [JudgeInput("q", str(i), "other") for i in range(40)]


class Fixed:
    """A judge with one score and one cost per pair, and a memory of what it was asked."""

    def __init__(self, seed: int, cost: int) -> None:
        scores = np.random.default_rng(seed).random(len(PAIRS))
        self.by_pair = dict(zip(PAIRS, scores.tolist(), strict=True))
        self.cost, self.asked = cost, set[JudgeInput]()

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        self.asked |= set(inputs)
        return np.array([self.by_pair[pair] for pair in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.full(len(inputs), self.cost)


@given(seed=st.integers(0, 99), width=st.floats(0, 6))
def test_each_pair_is_decided_by_one_judge(seed: int, width: float) -> None:
    cheap, dear = Fixed(seed, 3), Fixed(seed + 100, 50)
    both = CascadeJudge(cheap, dear, width)
    scores, first = both.score(PAIRS), cheap.score(PAIRS)
    near = np.abs(np.log(first / (1 - first))) <= width
    np.testing.assert_array_equal(scores[~near], first[~near])
    left = [pair for pair, asked in zip(PAIRS, near, strict=True) if asked]
    assert dear.asked == set(left)
    np.testing.assert_array_equal(scores[near], [dear.by_pair[pair] for pair in left])
    np.testing.assert_array_equal(both.num_tokens(PAIRS), np.where(near, 53, 3))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_the_width_gives_the_share(share: float) -> None:
    scores = np.random.default_rng(3).random(1000)
    assert unclear(scores, width_for(scores, share)).mean() == pytest.approx(share, abs=0.002)


def test_no_scores_give_no_width() -> None:
    with pytest.raises(ValueError, match="hold out more questions"):
        width_for(np.array([]), 0.5)


def test_sure_scores_have_finite_margins_and_bad_widths_are_refused() -> None:
    assert np.isfinite(margins(np.array([0.0, 1.0]))).all()
    with pytest.raises(ValueError, match="at least 0"):
        CascadeJudge(Fixed(0, 1), Fixed(1, 1), -1.0)
