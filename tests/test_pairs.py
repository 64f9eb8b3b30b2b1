"""Pairs against itertools; splits that never share a question."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.answers import GradedQuestion
from deepprune_core.pairs import (
    all_pairs,
    oversample_minority,
    sample_per_question,
    split_by_question,
)

classes = st.lists(st.lists(st.integers(-1, 3), min_size=2, max_size=7), min_size=2, max_size=6)


def graded(rows):
    return [GradedQuestion(np.array(row), 0) for row in rows]


@given(classes)
def test_all_pairs_are_all_pairs_with_the_right_labels(rows):
    found = all_pairs(graded(rows))
    expected = [
        (q, i, j, row[i] == row[j])
        for q, row in enumerate(rows)
        for i, j in combinations(range(len(row)), 2)
        if row[i] >= 0 and row[j] >= 0
    ]
    got = zip(found.question, found.first, found.second, found.same, strict=True)
    assert [(int(q), int(i), int(j), bool(s)) for q, i, j, s in got] == expected
    total = sum(len(row) * (len(row) - 1) // 2 for row in rows)
    assert found.num_ungradable == total - len(expected)


@given(classes, st.floats(0.1, 0.9), st.integers(0, 99))
def test_a_split_never_shares_a_question_and_loses_no_pair(rows, share, seed):
    pairs = all_pairs(graded(rows))
    if len(np.unique(pairs.question)) < 2:
        return
    one, two = split_by_question(pairs, share, np.random.default_rng(seed))
    assert not set(one.question) & set(two.question)
    assert len(one) + len(two) == len(pairs) and len(one) and len(two)


def test_oversampling_shows_the_rarer_label_twice():
    pairs = all_pairs(graded([[0, 0, 0, 1]]))
    more = oversample_minority(pairs, 2)
    assert (more.same.sum(), (~more.same).sum()) == (3, 6)
    assert oversample_minority(pairs, 1).same.tolist() == pairs.same.tolist()


def test_each_question_gives_at_most_k_pairs():
    pairs = all_pairs(graded([[0] * 6, [1] * 3]))
    found = sample_per_question(pairs, 4, np.random.default_rng(0))
    assert np.bincount(found.question).tolist() == [4, 3]


def test_one_question_cannot_be_split():
    pairs = all_pairs(graded([[0, 1]]))
    with pytest.raises(ValueError, match="two questions"):
        split_by_question(pairs, 0.5, np.random.default_rng(0))
