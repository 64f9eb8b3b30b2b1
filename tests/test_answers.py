"""Answers: extraction, canonical form, and a partition that does not depend on order."""

from pathlib import Path

import numpy as np
import pytest

from deepprune_core.answers import (
    UNGRADABLE,
    Found,
    canonical,
    extract_answer,
    find_answer,
    grade,
    grade_all,
    partition,
)
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.grading import checker
from deepprune_core.grading.reading import read
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
        (r"\boxed {5}", "5"),
        (r"\boxed 5", "5"),
        (r"\boxed (A).", "(A)"),
        (r"$\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        (r"\fbox{5}", "5"),
        ("\x08oxed{5}", "5"),  # a program took the backslash for its own
        (r"It is \boxed{7}. I put it into \boxed{} as asked.", "7"),
        (r"I put it into \boxed as asked: \boxed{7}.", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"$\boxed{12$ and more", "12"),
        (
            r"\boxed{f=\left\{\begin{array}{l}x\\2\end{array}\right.}",
            r"f=\left\{\begin{array}{l}x\\2\end{array}\right.",
        ),
        (r"<think> \boxed{9}", None),
        (r"[THINK]\boxed{9}[/THINK]\boxed{8}", "8"),
        (r"\boxed{8} <think> no, \boxed{9}", "8"),
        (r"<think> \boxed{9} </think> it is \boxed{8}", "8"),
        (r"<think> \boxed{9} </think> it is 8", None),
        (r"\boxed{}", None),
        ("no answer here", None),
    ],
)
def test_the_last_full_box_after_thinking_is_the_answer(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 42.", "42"),
        ("Work.\n#### 42\n", "42"),
        ("ANSWER: C", "C"),
        ("**Answer:** 12", "12"),
        ("**Final Answer**:\n\n$12$", "$12$"),
        ("### Final answer\n12", "12"),
        ("The correct answer is **(B)**.", "(B)"),
        ("The answer is 1,234.50 dollars because x is 5.", "1,234.50 dollars"),
        ("The answer is 5. No, wait: the answer is 6.", "6"),
        ("<answer>\narnold\n</answer>", "arnold"),
        ('<think>hm</think> {"answer": "H"}', "H"),
        ("<think>hm</think>\n\nE", "E"),
        ("**Answer:** There are 23 blue parrots on Bird Island.", "23"),
        ("**Final Answer:**\nThe greatest divisor of 5616 and 11609 is **13**.", "13"),
        ("**Answer:** The ratio of the area to the larger one is 1/4.", "1/4"),
        ("**Answer:**\n\\[\n\\frac{7}{32}\n\\]", "\\[\n\\frac{7}{32}\n\\]"),
        ("**Answer:** The radius of that circle is \\(3\\pi\\) inches.", "\\(3\\pi\\)"),
        ("The answer is not clear.", None),
        ("Write ANSWER: $LETTER at the end.", None),
        (r"The answer is in \boxed{}", None),
        ("<think>The answer is 5.</think> Done.", None),
    ],
)
def test_without_a_box_the_phrases_of_the_field_tell_the_answer_and_that_is_told(text, answer):
    found = find_answer(text)
    assert found == (None if answer is None else Found(answer, "phrase"))
    if answer is not None:
        assert find_answer(text + r" \boxed{3}") == Found("3", "box")


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
    "answer", [None, "", "  ", "$$", "...", "x" * 257, "(" * 21 + "1" + ")" * 21]
)
def test_no_content_too_long_and_too_deep_are_ungradable(answer):
    assert canonical(answer) is None


def test_only_algebra_asks_the_checker():
    checker.stop()
    partition(["1", "2", "C", "D", "(1, 2)", "5 cm", "2^{2024}", "no solution"])
    assert checker._worker is None
    classes = partition(["(x+1)^2", "x^2+2x+1", "x^2", "7"])
    assert classes.tolist() == [0, 0, 1, 2]


def test_what_takes_too_long_is_compared_as_text_and_the_next_one_still_works(monkeypatch):
    monkeypatch.setattr(checker, "EXPRESSION_SECONDS", 0.0)
    read.cache_clear()
    checker.fingerprint.cache_clear()
    assert partition(["(x+1)^2", "x^2+2x+1", "(x + 1)^2"]).tolist() == [0, 1, 0]
    monkeypatch.undo()
    read.cache_clear()
    checker.fingerprint.cache_clear()
    assert partition(["(x+1)^2", "x^2+2x+1"]).tolist() == [0, 0]


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
