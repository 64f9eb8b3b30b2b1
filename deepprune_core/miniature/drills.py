"""Drills: short documents that teach one skill densely, before or beside whole solutions.

Dense repetition is what makes looking up and comparing learnable for a small model: whole
solutions alone leave both at chance for millions of tokens (see docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepprune_core.miniature.problems import LETTERS, MODULUS, NAMES, OPS
from deepprune_core.miniature.solutions import RESULTS
from deepprune_core.miniature.terms import READINGS, TERMS

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


def draw_comparison_drill(rng: np.random.Generator) -> list[Segment]:
    """Return two short texts and whether they contradict each other on anything both say.

    The texts state how terms are read, or who has what. The second says much of the same in
    another order; in half of the drills one statement differs.
    """
    count = int(rng.integers(1, 6))
    if rng.random() < 0.75:
        subjects = [(f"{TERMS[i]} is", list(READINGS[TERMS[i]])) for i in rng.permutation(6)]
    else:
        numbers = [str(v) for v in range(MODULUS)]
        subjects = [(f"{NAMES[i]} has", numbers) for i in rng.permutation(len(NAMES))[:6]]
    values = [of[int(rng.integers(len(of)))] for _, of in subjects]
    first = [f"{s} {v}." for (s, _), v in zip(subjects, values, strict=True)][:count]
    second = list(first)
    differ = rng.random() < 0.5
    if differ:
        at = int(rng.integers(count))
        subject, of = subjects[at]
        others = [v for v in of if v != values[at]]
        second[at] = f"{subject} {others[int(rng.integers(len(others)))]}."
    second = [second[i] for i in rng.permutation(count)]

    def written(statements: list[str]) -> str:
        return " ".join(f"{RESULTS[int(rng.integers(len(RESULTS)))]} {s}" for s in statements)

    return [
        Segment(f"Text 1: {written(first)} Text 2: {written(second)}", 0.02),
        Segment("Same or different?", PROMPT_WEIGHT),
        Segment("different" if differ else "same", VERDICT_WEIGHT),
    ]
