"""Truncation: where a prefix ends, and what it may not show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.truncation import (
    REASONING_WORDS,
    Truncation,
    count_reasoning_words,
    first_reasoning_words,
    first_tokens,
    strip_answer,
)
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
TEXT = r"so Bob has 4. wait, let me check Bob. thus Bob has 4, right. answer: \boxed{4}"
words = st.sampled_from(["so", "wait,", "thus", "Bob", "has", "4.", "let me check", "sofa", "plus"])


def test_the_papers_words_are_in_the_list():
    assert {"wait", "thus", "since", "therefore"} <= set(REASONING_WORDS)


@pytest.mark.parametrize(
    ("text", "count"),
    [("So wait", 2), ("sofa awaits", 0), ("let me check", 1), ("SINCE, hence; Thus", 3), ("", 0)],
)
def test_words_count_whole_and_in_any_case(text, count):
    assert count_reasoning_words(text) == count


@given(st.lists(words, max_size=40).map(" ".join), st.integers(1, 12))
def test_a_prefix_of_k_words_is_the_shortest_part_that_holds_them(text, k):
    prefix = first_reasoning_words(text, k)
    assert text.startswith(prefix)
    total = count_reasoning_words(text)
    if total < k:
        assert prefix == text
    else:
        # It ends with the k-th word's part of a sentence, which may hold further words.
        assert count_reasoning_words(prefix) >= k
        assert prefix == text or prefix[-1] in ".,;:!?\n"


@given(st.lists(words, max_size=40).map(" ".join), st.integers(1, 60))
def test_k_tokens_are_the_first_k(text, k):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.encode(first_tokens(text, k, TOKENIZER)) == ids[:k]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (TEXT, "so Bob has 4. wait, let me check Bob. thus Bob has 4, right."),
        ("the final answer is 4", "the"),
        ("I think </think> 4", "I think"),
        ("the answer is 4", "the"),
        ("nothing to hide", None),
    ],
)
def test_the_guard_cuts_at_the_answer_and_says_so(text, kept):
    assert strip_answer(text) == ((text, False) if kept is None else (kept, True))


@given(st.integers(1, 60))
def test_no_prefix_ever_shows_the_answer(k):
    for kind in ("tokens", "reasoning_words"):
        prefix = Truncation(kind, k).cut(TEXT, TOKENIZER)
        assert "boxed" not in prefix.text and "answer:" not in prefix.text
        assert 0 < prefix.fraction <= 1


def test_a_growing_trace_is_cut_where_the_whole_one_is():
    text = "so Bob has 4. thus Ann has 3, hence Eva has 1. so on."
    cut = Truncation("reasoning_words", 2)
    grown = next(text[:n] for n in range(len(text)) if cut.reached(text[:n], TOKENIZER))
    assert cut.cut(grown, TOKENIZER).text == cut.cut(text, TOKENIZER).text


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_cut_stands_behind_the_part_that_holds_the_k_th_word(k):
    parts = ("So it is 4,", " thus five.", " Then six,", " so seven.")
    assert first_reasoning_words("".join(parts), k) == "".join(parts[:k])


@pytest.mark.parametrize("cut", [first_reasoning_words, lambda t, k: first_tokens(t, k, TOKENIZER)])
def test_a_prefix_of_nothing_is_refused(cut):
    with pytest.raises(ValueError, match="k >= 1"):
        cut(TEXT, 0)
