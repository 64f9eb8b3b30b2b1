"""Sound traces have no slips; a trace that was tampered with has the slip of that kind."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.miniature.chains import draw_chain
from replication.miniature.habits import invented_habits
from replication.miniature.narration import narrate
from replication.miniature.slips import find_slips


def written(seed: int, choice: bool = False):
    rng = np.random.default_rng(seed)
    problem = draw_chain(rng, 6, 3, multiple_choice=choice, terms=2)
    habits = invented_habits(rng)
    return problem, habits, narrate(problem, habits, rng)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_the_generator_writes_is_sound(seed, choice):
    problem, habits, text = written(seed, choice)
    assert find_slips(problem, text, habits) == []


def first_computation(text: str) -> re.Match[str]:
    match = re.search(r"(\d+) (plus|minus|times) (\d+) is (\d+), (\w+) ([A-Z]\w*) has (\d+)", text)
    assert match
    return match


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_of_damage_is_named(seed):
    problem, habits, text = written(seed)
    habits = None
    sound = find_slips(problem, text, habits) == []
    assert find_slips(problem, text.split("answer:")[0]) == ["unfinished"]
    sentence = f"{problem.steps[2].text()}."
    other = sentence.replace(f"{problem.steps[2].right}.", "Zebra.")
    assert "misread" in find_slips(problem, text.replace(sentence, other, 1))
    assert "order" in find_slips(problem, text.replace(sentence, "", 1))
    if sound:
        m = first_computation(text)
        wrong = (int(m[4]) + 1) % 11
        damaged = m[0].replace(f"is {m[4]},", f"is {wrong},")
        damaged = re.sub(r"has \d+$", f"has {wrong}", damaged)
        assert find_slips(problem, text.replace(m[0], damaged, 1))[0] == "arithmetic"
        moved = m[0].replace(f"{m[1]} {m[2]}", f"{(int(m[1]) + 1) % 11} {m[2]}", 1)
        assert find_slips(problem, text.replace(m[0], moved, 1))[0] == "operand"
    assert "answer" in find_slips(problem, re.sub(r"\\boxed\{\w+\}", r"\\boxed{99}", text))
