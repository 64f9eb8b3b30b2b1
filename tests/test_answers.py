"""Answers: extraction, canonical form, and a partition that does not depend on order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.answers import (
    UNGRADABLE,
    canonical,
    extract_answer,
    grade,
    grade_all,
    partition,
)
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.grading import checker
from deepprune_core.metrics import redundancy
from deepprune_core.pairs import all_pairs
from deepprune_core.traces import Question, Trace

REAL = Path(__file__).parents[2] / "shared" / "traces"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{4}.", "4"),
        (r"\boxed{3} no, wait, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and then \boxed{2", "1"),
        (r"<think> \boxed{9} </think> it is \boxed{8}", "8"),
        (r"<think> \boxed{9} </think> it is 8", None),
        (r"\boxed{}", None),
        ("no answer here", None),
    ],
)
def test_the_last_complete_box_after_thinking_is_the_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    "same",
    [
        ("1/2", r"\frac{1}{2}", r"\dfrac12", "0.5", "$.50$", r"\(\frac{2}{4}\)"),
        ("1204", "1,204", "1204.0", "+1204", r"1{,}204", "01204"),
        ("C", "(C)", r"\text{(C)}", "C.", r"\textbf{C}"),
        ("-3/4", r"-\frac{3}{4}", "-0.75", "\u22120.75"),
    ],
    ids=lambda group: group[0],
)
def test_spellings_of_one_answer_share_a_canonical_form(same):
    assert {canonical(answer) for answer in same} == {canonical(same[0])}


@pytest.mark.parametrize(
    "answer",
    [None, "", "  ", "x" * 257, "(" * 21 + "1" + ")" * 21, "1" * 31, "9**9**9", "2^{3^{4}}",
     "99999999!", "10^{99999}"],
)  # fmt: skip
def test_answers_beyond_the_limits_are_ungradable(answer):
    assert canonical(answer) is None


@given(st.lists(st.sampled_from(["1", "2", "0.5", "1/2", "C", "(C)", None, "x+1", "7,000"])))
def test_the_partition_does_not_depend_on_order(answers):
    forward = partition(answers)
    backward = partition(answers[::-1])[::-1]
    for a, b in zip(forward, backward, strict=True):
        assert (a == UNGRADABLE) == (b == UNGRADABLE)
    together = forward[:, None] == forward[None]
    np.testing.assert_array_equal(together, backward[:, None] == backward[None])


def test_expressions_are_compared_by_the_checker_and_only_those():
    checker.stop()
    partition(["1", "2", "C", "D"])
    assert checker._worker is None
    classes = partition(["(x+1)^2", "x^2+2x+1", "x^2", "7"])
    assert classes.tolist() == [0, 0, 1, 2]


def test_a_pair_that_takes_too_long_is_different_and_the_next_one_still_works(monkeypatch):
    monkeypatch.setattr(checker, "PAIR_SECONDS", 1e-4)
    checker.equivalent.cache_clear()
    assert not checker.equivalent("x^2+2x+1", "(x+1)^2")
    monkeypatch.undo()
    checker.equivalent.cache_clear()
    assert checker.equivalent("(x+1)^2", "x^2+2x+1")


def test_grading_names_the_gold_class_even_if_nobody_reached_it():
    question = Question("q", "?", gold="5")
    traces = [Trace("q", str(i), rf"\boxed{{{a}}}", 1) for i, a in enumerate((3, 4, 3))]
    graded = grade(question, traces)
    assert graded.classes.tolist() == [0, 1, 0] and graded.gold_class == 2
    assert grade(Question("q", "?"), traces).gold_class == UNGRADABLE


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real traces is not here")
def test_real_traces_agree_as_often_as_their_source_says():
    graded = grade_all(read_traces(REAL / "math100_qwen25math_8x.jsonl.gz"))
    assert redundancy(all_pairs(graded)).micro == pytest.approx(0.922, abs=0.005)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real traces is not here")
def test_unfinished_real_traces_are_ungradable_and_counted():
    traces = read_traces(REAL / "mmlupro8_qwen3_1p7b_10x.jsonl.gz")
    classes = np.concatenate([g.classes for g in grade_all(traces)])
    silent = [t for group in traces.traces for t in group if t.answer is None]
    assert (classes == UNGRADABLE).sum() <= len(silent)
    assert 0.1 < np.mean(classes == UNGRADABLE) < 0.25
