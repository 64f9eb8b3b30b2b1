"""Chains, habits and traces: a faultless trace is right, a faulty one wrong as its table says."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.answers import extract_answer
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.truncation import first_reasoning_words
from replication.miniature.chains import ambiguous_steps, draw_chain
from replication.miniature.contradictions import ReadingJudge, contradictions, shown_readings
from replication.miniature.habits import CONTEXTS, Habits, flatten, invented_habits
from replication.miniature.narration import narrate
from replication.miniature.terms import READINGS, RIGHT, TERMS
from replication.miniature.tokenizer import build_tokenizer

SEEDS = st.integers(0, 2**32 - 1)
FAULTLESS = Habits({(t, c): {RIGHT[t]: 1.0} for t in TERMS for c in CONTEXTS}, rethink=0.0)


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


@given(SEEDS, st.integers(1, 9), st.booleans())
def test_a_faultless_trace_ends_in_the_gold_answer(seed, steps, choice):
    rng = np.random.default_rng(seed)
    problem = draw_chain(rng, steps, multiple_choice=choice)
    text = narrate(problem, FAULTLESS, rng)
    assert extract_answer(text) == problem.gold
    assert str(follow(problem, RIGHT)) == problem.gold or choice


@given(SEEDS, st.integers(1, 9))
def test_an_unsure_trace_follows_the_readings_that_it_settled_last(seed, steps):
    rng = np.random.default_rng(seed)
    problem = draw_chain(rng, steps, terms=min(3, steps))
    habits = replace(invented_habits(rng), beliefs={}, rethink=0.5)
    text = narrate(problem, habits, rng)
    read = dict(shown_readings(text))
    assert set(read) == {step.op for step in ambiguous_steps(problem)}
    assert extract_answer(text) == str(follow(problem, read))


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


def test_every_word_of_the_world_is_a_token():
    rng, tokenizer = np.random.default_rng(0), build_tokenizer()
    for _ in range(50):
        problem = draw_chain(rng, 7, 3, multiple_choice=True)
        text = f"{problem.text()} Solution: {narrate(problem, invented_habits(rng), rng)}"
        ids = tokenizer.encode(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_readings_appear_as_often_as_the_table_says():
    rng = np.random.default_rng(1)
    table = {(t, c): {r: 1 / len(of) for r in of} for t, of in READINGS.items() for c in CONTEXTS}
    habits = Habits(table, rethink=0.0)
    problem = draw_chain(rng, 6, terms=1)
    (step,) = ambiguous_steps(problem)
    seen = [dict(shown_readings(narrate(problem, habits, rng)))[step.op] for _ in range(600)]
    for reading in READINGS[step.op]:
        assert seen.count(reading) / 600 == pytest.approx(1 / len(READINGS[step.op]), abs=0.08)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.floats(0.3, 1.0))
def test_a_softmax_at_the_temperature_undoes_softening(weights, temperature):
    table = [w / sum(weights) for w in weights]
    logits = np.log(flatten(table, temperature)) / temperature
    sharp = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(sharp, table, atol=1e-9)


def test_contradictions_count_terms_read_differently_and_only_those():
    first = "so average is mode. wait, no. so average is mean. hmm, is share equally?"
    assert contradictions(first, "thus average is mean.") == 0
    assert contradictions(first, "thus average is median. so share is equally.") == 1
    pairs = [
        JudgeInput("", first, "so average is mean."),
        JudgeInput("", first, "so order is descending."),
    ]
    assert ReadingJudge().score(pairs).tolist() == [1.0, 1.0]


def test_a_prefix_shows_the_terms_before_any_number_is_computed():
    rng = np.random.default_rng(3)
    problem = draw_chain(rng, 6, terms=2)
    prefix = first_reasoning_words(narrate(problem, invented_habits(rng), rng), 12)
    assert " has " not in prefix.split("?")[0]
    assert shown_readings(prefix)


def test_a_chain_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        draw_chain(np.random.default_rng(0), 0)
