"""Truncation: what part of a trace the judge may read (paper, section 3, offline judge).

Two ways to cut: the first ``k`` tokens, or the text up to the first ``k`` reasoning words.
Either way a guard removes everything from the answer marker on, so that no prefix shows a
final answer, and counts the prefixes that would have shown one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

# The paper names wait, thus, since and therefore; its full list is not public. The others are
# the connectives that open a step, a doubt or a second look in long reasoning traces.
REASONING_WORDS: tuple[str, ...] = (
    "wait", "thus", "since", "therefore",
    "hmm", "so", "because", "hence", "then", "but", "alternatively", "however", "actually",
    "let me check", "let me see", "let me think", "let's check",
)  # fmt: skip

ANSWER_MARKERS = (
    r"\\boxed", r"</think>", r"\banswer\s*:", r"\banswer\s+is\b", r"\bfinal\s+answer\b", r"####",
)  # fmt: skip
_ANSWER = re.compile("|".join(ANSWER_MARKERS), re.IGNORECASE)
_PART_END = re.compile(r"[.,;:!?\n]")


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that cutting needs."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = ...) -> str: ...


@lru_cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


def count_reasoning_words(text: str, words: Sequence[str] = REASONING_WORDS) -> int:
    """Return how many reasoning words a text holds.

    >>> count_reasoning_words("So x is 4. Wait, let me check: thus 5, awaiting.")
    4
    """
    return sum(1 for _ in _pattern(tuple(words)).finditer(text))


def first_tokens(text: str, k: int, tokenizer: Tokenizer) -> str:
    """Return the first ``k`` tokens of a trace as text; a character cut in half is dropped."""
    if k < 1:
        raise ValueError(f"expected k >= 1 tokens, got {k}; raise k")
    # No token of a usable tokenizer is longer than 64 characters on average over k tokens.
    ids = tokenizer.encode(text[: 64 * k], add_special_tokens=False)
    if len(ids) <= k and len(text) <= 64 * k:
        return text
    return tokenizer.decode(ids[:k], skip_special_tokens=False).rstrip("\ufffd")


def first_reasoning_words(text: str, k: int, words: Sequence[str] = REASONING_WORDS) -> str:
    """Return the text up to and including the part of a sentence that holds the k-th word.

    A part of a sentence ends at the next mark of punctuation or line end. A text with fewer
    than ``k`` words comes back whole.

    >>> first_reasoning_words("So a is 4, thus b is 5. Then c is 6, so d is 7.", 3)
    'So a is 4, thus b is 5. Then c is 6,'
    """
    if k < 1:
        raise ValueError(f"expected k >= 1 reasoning words, got {k}; raise k")
    for count, match in enumerate(_pattern(tuple(words)).finditer(text), start=1):
        if count == k:
            end = _PART_END.search(text, match.end())
            return text[: end.end()] if end else text
    return text


def strip_answer(text: str) -> tuple[str, bool]:
    r"""Return the text before the first answer marker, and whether there was one.

    >>> strip_answer(r"so Bob has 4. answer: \boxed{4}")
    ('so Bob has 4.', True)
    """
    match = _ANSWER.search(text)
    return (text, False) if match is None else (text[: match.start()].rstrip(), True)


@dataclass(frozen=True)
class Prefix:
    """A truncated trace.

    ``num_tokens`` is its length in tokens, ``fraction`` its share of the whole trace's tokens,
    ``showed_answer`` whether the guard had to cut an answer from it.
    """

    text: str
    num_tokens: int
    fraction: float
    showed_answer: bool


@dataclass(frozen=True)
class Truncation:
    """A way to cut traces: ``k`` tokens, or ``k`` reasoning words out of ``words``."""

    kind: Literal["tokens", "reasoning_words"]
    k: int
    words: tuple[str, ...] = REASONING_WORDS

    @property
    def label(self) -> str:
        """Return the name used in tables: ``500 tokens``, ``25 words``."""
        return f"{self.k} {'tokens' if self.kind == 'tokens' else 'words'}"

    def point(self, text: str, tokenizer: Tokenizer) -> str:
        """Return the unguarded prefix: what has been generated when the cut is reached."""
        if self.kind == "tokens":
            return first_tokens(text, self.k, tokenizer)
        return first_reasoning_words(text, self.k, self.words)

    def reached(self, text: str, tokenizer: Tokenizer) -> bool:
        """Return whether a growing trace is long enough to be cut for good."""
        if self.kind == "tokens":
            return len(tokenizer.encode(text, add_special_tokens=False)) >= self.k
        if count_reasoning_words(text, self.words) < self.k:
            return False
        return len(first_reasoning_words(text, self.k, self.words)) < len(text)

    def cut(self, text: str, tokenizer: Tokenizer) -> Prefix:
        """Return the guarded prefix of a trace.

        ``num_tokens`` counts what had been generated at the cut, before the guard: that is
        what a pruned trace costs.
        """
        raw = self.point(text, tokenizer)
        guarded, showed = strip_answer(raw)
        num_tokens = len(tokenizer.encode(raw, add_special_tokens=False))
        total = len(tokenizer.encode(text, add_special_tokens=False)) if raw != text else num_tokens
        return Prefix(guarded, num_tokens, num_tokens / max(1, total), showed)
