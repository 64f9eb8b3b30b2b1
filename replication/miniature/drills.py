"""Drills: short documents that teach one skill densely, before or beside whole solutions.

Dense repetition is what makes looking up and comparing learnable for a small model: whole
solutions alone leave both at chance for millions of tokens (see docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from replication.miniature.problems import LETTERS, MODULUS, NAMES, OPS
from replication.miniature.solutions import RESULTS
from replication.miniature.terms import READINGS, TERMS

PROMPT_WEIGHT = 0.2
VERDICT_WEIGHT = 30.0


@dataclass(frozen=True)
class Segment:
    """A piece of a document and the weight of its tokens in the loss."""

    text: str
    weight: float


def draw_lookup_drill(rng: np.random.Generator) -> list[Segment]:
    """Return facts and a text that repeats them twice, each time in another order."""
    names = [NAMES[i] for i in rng.permutation(len(NAMES))[: int(rng.integers(4, 16))]]
    facts = []
    for name in names:
        if rng.random() < 0.5:
            facts.append(f"{name} has {int(rng.integers(MODULUS))}.")
        else:
            left, right = (names[int(i)] for i in rng.integers(len(names), size=2))
            facts.append(f"{name} equals {left} {OPS[int(rng.integers(3))]} {right}.")
    orders = (rng.permutation(len(facts)) for _ in range(2))
    again = " ".join(f"so {facts[i]}" for order in orders for i in order)
    question = f"Problem: {' '.join(facts)} Question: lookup Solution:"
    return [Segment(question, PROMPT_WEIGHT), Segment(again, 1.0)]


def draw_option_drill(rng: np.random.Generator) -> list[Segment]:
    """Return a list of options and a text that repeats it eight times in new orders."""
    values = rng.permutation(MODULUS)[: len(LETTERS)]
    options = [f"{v} is {letter}" for v, letter in zip(values, LETTERS, strict=True)]
    names = (NAMES[i] for i in rng.permutation(len(NAMES))[: int(rng.integers(0, 5))])
    facts = " ".join(f"{name} has {int(rng.integers(MODULUS))}." for name in names)
    orders = (rng.permutation(len(options)) for _ in range(8))
    again = " ".join(f"so {options[i]}." for order in orders for i in order)
    question = f"Problem: {facts} Question: lookup Options: {', '.join(options)}. Solution:"
    return [Segment(question, PROMPT_WEIGHT), Segment(again, 1.0)]


def _definition(rng: np.random.Generator) -> str:
    name, left = (NAMES[int(i)] for i in rng.integers(len(NAMES), size=2))
    return f"{name} equals {left} {OPS[int(rng.integers(3))]} {int(rng.integers(MODULUS))}."


def draw_comparison_drill(
    rng: np.random.Generator, items: int = 5, filler: float = 0.0
) -> list[Segment]:
    """Return two short texts and whether they contradict each other.

    Each states how at most ``items`` terms are read, the second in another order; in half of
    the drills one statement differs. With probability ``filler`` a statement is followed by a
    definition that has nothing to do with the question.
    """
    terms = [TERMS[i] for i in rng.permutation(len(TERMS))[: int(rng.integers(1, items + 1))]]
    first = [list(READINGS[t])[int(rng.integers(len(READINGS[t])))] for t in terms]
    second, differ = list(first), bool(rng.random() < 0.5)
    if differ:
        at = int(rng.integers(len(terms)))
        others = [r for r in READINGS[terms[at]] if r != first[at]]
        second[at] = others[int(rng.integers(len(others)))]

    def written(readings: list[str], order: Iterable[int]) -> str:
        out = []
        for i in order:
            out.append(f"{RESULTS[int(rng.integers(len(RESULTS)))]} {terms[i]} is {readings[i]}.")
            if rng.random() < filler:
                out.append(f"so {_definition(rng)}")
        return " ".join(out)

    texts = written(first, range(len(terms))), written(second, rng.permutation(len(terms)))
    return [
        Segment(f"Text 1: {texts[0]} Text 2: {texts[1]}", 0.02),
        Segment("Same or different?", PROMPT_WEIGHT),
        Segment("different" if differ else "same", VERDICT_WEIGHT),
    ]
