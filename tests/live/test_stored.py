"""Pruning replayed on a file: the plain vote beside every rule, on whatever is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.answers import grade_all
from deepprune_core.cli.options import parse_rule
from deepprune_core.engines.discovery import WordTokenizer
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.stored import Outcomes, compare_on_stored
from deepprune_core.traces import Question, Trace, TraceSet
from deepprune_core.truncation import Truncation


class Stubborn:
    """Finds no two traces the same, but for a score just below the threshold."""

    def score(self, inputs: list[JudgeInput]) -> np.ndarray:
        return np.linspace(0, 1, len(inputs))

    def num_tokens(self, inputs: list[JudgeInput]) -> np.ndarray:
        return np.full(len(inputs), 5)


def trace_set(answers: list[list[str | None]], golds: list[str | None]) -> TraceSet:
    questions = tuple(Question(f"q{i}", "?", gold) for i, gold in enumerate(golds))
    groups = tuple(
        tuple(
            Trace(f"q{i}", str(j), f"so a{j} then b then c thus d", 9, answer)
            for j, answer in enumerate(row)
        )
        for i, row in enumerate(answers)
    )
    return TraceSet("m", questions, groups)


def compared(traces: TraceSet, judge: object, *names: str, tau: float = 1.0) -> list[Outcomes]:
    rules = {name: parse_rule(name, 3, 1, 20).with_tau(tau) for name in names}
    return compare_on_stored(
        traces, grade_all(traces), judge, Truncation("reasoning_words", 2), WordTokenizer(), rules,
        orders=4, rng=np.random.default_rng(0),
    )  # fmt: skip


@given(
    st.lists(st.lists(st.sampled_from(["1", "2", "3", None]), max_size=9), min_size=1, max_size=4)
)
def test_saving_nothing_changes_nothing(answers: list[list[str | None]]) -> None:
    """With ties, with more traces than clusters, and with traces that give no answer."""
    traces = trace_set(answers, ["1"] * len(answers))
    plain, *pruned = compared(traces, Stubborn(), "weighted", "survivors")
    for found in pruned[:2]:
        assert (found.tokens, found.saved) == (plain.tokens, 0)
        assert found.agreement is None or found.agreement.value == 1
        np.testing.assert_array_equal(found.right, plain.right)


def test_what_is_not_known_is_in_no_denominator() -> None:
    traces = trace_set([["1", "1"], [None, None], ["2", "2"]], ["1", "1", None])
    plain, weighted, adaptive, control = compared(traces, Stubborn(), "weighted")
    for found in (plain, weighted, adaptive, control):
        assert found.agreement is not None and found.accuracy is not None
        assert found.agreement.value == 1 and found.agreement.num_questions == 2
        assert found.accuracy.value == pytest.approx(1 / 2)  # of the two with a right answer
    nothing = trace_set([[None, None]], ["1"])
    assert all(
        (found.agreement, found.accuracy) == (None, None)
        for found in compared(nothing, Stubborn(), "weighted")
    )


def test_the_control_costs_what_the_rule_costs_and_is_a_vote_of_random_traces() -> None:
    """Nine traces that agree: adaptive consistency stops at the fourth."""
    traces = trace_set([["1"] * 9], ["1"])
    _, pruned, adaptive, control = compared(traces, SameTextJudge(), "largest", tau=0.5)
    assert control.tokens == pytest.approx(min(pruned.tokens, pruned.whole.sum()))
    assert adaptive.tokens == 4 * 9 and adaptive.agrees.tolist() == [1.0]
    free = compare_on_stored(
        traces, grade_all(traces), Stubborn(), Truncation("reasoning_words", 2), WordTokenizer(),
        {"largest": parse_rule("largest", 3, 1, 2).with_tau(1.0)}, orders=2,
        rng=np.random.default_rng(0), judge_cost=0.0,
    )  # fmt: skip
    assert free[1].saved_net == free[1].saved and free[1].judge.sum() == 0


def test_empty_beginnings_are_not_the_same_text() -> None:
    pairs = [JudgeInput("?", *texts) for texts in (("", ""), ("a", "a"), ("a", "b"))]
    assert SameTextJudge().score(pairs).tolist() == [0, 1, 0]
