"""More traces of a question: only the new pairs are asked, and the result is the same."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_scores import PairScores
from deepprune_core.traces import Question
from replication.stored_scores import score_question

QUESTION = Question("q", "What is 2 + 3?", "5", "mini")


class HashJudge:
    """Scores that depend on the pair alone, and a count of the pairs asked."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        self.asked += len(inputs)
        digests = [sha256(f"{p.first}|{p.second}".encode()).digest() for p in inputs]
        return np.array([(d[0] + 0.5) / 256 for d in digests])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.array([len(p.first) + 2 * len(p.second) for p in inputs], dtype=np.int64)


@given(known=st.integers(0, 9), more=st.integers(0, 9))
def test_scores_grow_with_the_traces(known: int, more: int) -> None:
    texts = [f"I begin with case {i * i}." for i in range(max(known + more, 2))]
    grown, whole, judge = PairScores("j", {}), PairScores("j", {}), HashJudge()
    if known >= 2:
        score_question(judge, grown, "birch", QUESTION, texts[:known])
    before, n = judge.asked, len(texts)
    asked = score_question(judge, grown, "birch", QUESTION, texts)
    first = known if known >= 2 else 0
    assert asked == judge.asked - before == n * (n - 1) // 2 - first * (first - 1) // 2
    score_question(HashJudge(), whole, "birch", QUESTION, texts)
    for one, other in zip(
        grown.get("birch", "q", n) or (), whole.get("birch", "q", n) or (), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert grown.size("birch", "q") == n and grown.size("oak", "q") == 0
