"""Ambiguous terms: words in a definition that can be read in two or three ways.

``Cleo equals Bob average Dan`` leaves open which average is meant. Every reading is an
operation; one of them is right, and the gold answer follows it. Each term has readings of its
own, so that whoever compares two texts can see from a single word how a term was read.
"""

from __future__ import annotations

READINGS: dict[str, dict[str, str]] = {
    "average": {"mean": "plus", "median": "minus", "mode": "times"},
    "between": {"inclusive": "minus", "exclusive": "plus"},
    "round": {"upward": "plus", "downward": "minus", "nearest": "times"},
    "share": {"equally": "times", "proportional": "minus"},
    "order": {"ascending": "minus", "descending": "times"},
    "range": {"open": "plus", "closed": "minus", "half": "times"},
}
RIGHT: dict[str, str] = {
    "average": "mean",
    "between": "inclusive",
    "round": "upward",
    "share": "equally",
    "order": "descending",
    "range": "open",
}
TERMS = tuple(READINGS)


def operation_of(word: str, reading: str | None = None) -> str:
    """Return the operation behind a word: a term's right reading unless another is given.

    >>> operation_of("average"), operation_of("average", "mode"), operation_of("times")
    ('plus', 'times', 'times')
    """
    return READINGS[word][reading or RIGHT[word]] if word in READINGS else word
