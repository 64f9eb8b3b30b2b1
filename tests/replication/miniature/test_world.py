"""The world's questions, words and readings, and the traces that ship of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.formats.trace_files import read_traces
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.truncation import first_reasoning_words
from replication.miniature.benchmarks import BENCHMARKS, questions_of
from replication.miniature.chains import draw_chain
from replication.miniature.contradictions import ReadingJudge, contradictions, shown_readings
from replication.miniature.terms import READINGS, RIGHT
from replication.miniature.tokenizer import build_tokenizer

SEEDS = st.integers(0, 2**32 - 1)
ROOT = Path(__file__).parents[3]
BIRCH = read_traces(ROOT / "data/miniature/traces/birch.parquet")


def follow(problem, read: dict[str, str]) -> int:
    """Return the target's number for someone with these readings; written from the rules alone."""
    rules = {step.name: step for step in problem.steps}

    def value(side):
        if isinstance(side, int):
            return side
        if side not in rules:
            return problem.given[side]
        step = rules[side]
        op = READINGS[step.op][read[step.op]] if step.op in READINGS else step.op
        left, right = value(step.left), value(step.right)
        return {"plus": left + right, "minus": left - right, "times": left * right}[op] % 11

    return value(problem.target)


@given(SEEDS, st.integers(1, 9))
def test_the_gold_answer_follows_the_right_readings(seed, steps):
    problem = draw_chain(np.random.default_rng(seed), steps)
    assert str(follow(problem, RIGHT)) == problem.gold
    choice = draw_chain(np.random.default_rng(seed), steps, multiple_choice=True)
    right = choice.options["ABCD".index(choice.gold)]
    assert right == follow(choice, RIGHT) and choice.options.count(right) == 1


@given(SEEDS, st.integers(2, 9))
def test_a_chain_says_what_comes_next(seed, steps):
    problem = draw_chain(np.random.default_rng(seed), steps, distractors=3)
    for before, step in zip(problem.steps, problem.steps[1:], strict=False):
        assert step.left == before.name
    # Nothing else starts from a step of the chain: looking for the next step is unambiguous.
    starts = [re.match(r"\w+ equals (\w+) ", s) for s in problem.statements]
    names = [m[1] for m in starts if m]
    assert all(names.count(step.name) <= 1 for step in problem.steps)
    assert len(problem.statements) == len({s.split()[0] for s in problem.statements})


def test_the_shipped_questions_are_those_that_are_drawn():
    drawn = {q.question_id: (q.text, q.gold) for q in questions_of(tuple(BENCHMARKS))}
    assert {q.question_id: (q.text, q.gold) for q in BIRCH.questions} == drawn


def test_every_word_of_the_world_is_a_token():
    tokenizer = build_tokenizer()
    for question, group in zip(BIRCH.questions, BIRCH.traces, strict=True):
        text = f"{question.text} Solution: {group[0].text}"
        ids = tokenizer.encode(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_contradictions_count_terms_read_differently_and_only_those():
    first = "so average is mode. wait, no. so average is mean. hmm, is share equally?"
    assert contradictions(first, "thus average is mean.") == 0
    assert contradictions(first, "thus average is median. so share is equally.") == 1
    pairs = [
        JudgeInput("", first, "so average is mean."),
        JudgeInput("", first, "so order is descending."),
    ]
    assert ReadingJudge().score(pairs).tolist() == [1.0, 1.0]


def test_prefixes_show_how_terms_are_read():
    shown = [
        dict(shown_readings(first_reasoning_words(trace.text, 12)))
        for group in BIRCH.traces for trace in group[:4]
    ]  # fmt: skip
    assert all(read in READINGS[term] for readings in shown for term, read in readings.items())
    assert sum(map(bool, shown)) > len(shown) / 2


def test_a_chain_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        draw_chain(np.random.default_rng(0), 0)
