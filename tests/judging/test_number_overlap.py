"""Number overlap against sets made by hand and by hypothesis."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.engines.named_judges import open_named_judge
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.number_overlap import NumberOverlapJudge, numbers_in

JUDGE = NumberOverlapJudge()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12 times 3.50 is 42", {"12", "7/2", "42"}),
        ("$1,234,567.5 and 1,23", {"2469135/2", "1", "23"}),
        ("x_2 = -7, 50% of .5", {"2", "7", "50", "1/2"}),
        ("3, 4, 5", {"3", "4", "5"}),
        ("no number", set()),
        ("9" * 60, set()),
        ("٣ ½", set()),
    ],
)
def test_numbers_are_read_by_value(text: str, values: set[str]) -> None:
    assert numbers_in(text) == {Fraction(value) for value in values}


def test_the_numbers_of_the_question_do_not_count() -> None:
    asked = "Bob has 12 eggs and 5 pans."
    pairs = [
        JudgeInput(asked, "12 / 5 is 2.4", "12 - 5 is 7"),
        JudgeInput(asked, "12 + 5 = 17.0", "5 + 12 = 17"),
        JudgeInput(asked, "12 eggs, 5 pans", "Bob has 5"),
        JudgeInput(asked, "3 and 4", "4 and 6"),
        JudgeInput(asked, "3", ""),
    ]
    np.testing.assert_allclose(JUDGE.score(pairs), [0, 1, 0.5, 1 / 3, 0])
    assert JUDGE.num_tokens(pairs).tolist() == [1] * 5
    assert JUDGE.score([]).shape == (0,)


@given(*[st.sets(st.integers(0, 30), max_size=6)] * 3)
def test_the_score_is_jaccards_and_symmetric(asked: set[int], a: set[int], b: set[int]) -> None:
    def text(values: set[int]) -> str:
        return " and ".join(map(str, sorted(values)))

    pair = JudgeInput(text(asked), text(a), text(b))
    union = (a | b) - asked
    expected = len((a & b) - asked) / len(union) if union else 0.5
    assert JUDGE.score([pair, pair.swapped]).tolist() == [expected] * 2


def test_the_command_line_knows_it() -> None:
    assert isinstance(open_named_judge("numbers").judge, NumberOverlapJudge)
