"""Synthetic multi-step arithmetic problems, in the manner of iGSM (arXiv 2407.20311).

A problem names people who each hold a number. Some numbers are given, the others are
defined from two numbers (``Cleo equals Bob times Dan.``). All counts wrap at the prime
``MODULUS``. The statements are shuffled, some are distractors, and one question asks for
the number that needs every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np

from replication.miniature.terms import operation_of

MODULUS = 11
LETTERS = "ABCD"
NAMES: tuple[str, ...] = (
    "Ada", "Ali", "Amy", "Ana", "Ann", "Art", "Asa", "Ava", "Ben", "Bea", "Bob", "Cal", "Cleo",
    "Cora", "Dan", "Dee", "Dora", "Eli", "Ella", "Emma", "Enzo", "Eva", "Fay", "Finn", "Gus",
    "Hana", "Hugo", "Ida", "Ines", "Iris", "Ivan", "Jack", "Jane", "Joe", "Jon", "Juan", "Kai",
    "Kate", "Kim", "Lea", "Leo", "Lily", "Lola", "Luis", "Mae", "Max", "Maya", "Mia", "Milo",
    "Nina", "Noa", "Nora", "Omar", "Otto", "Pam", "Paul", "Pia", "Rosa", "Ruth", "Sam", "Sara",
    "Theo", "Tina", "Uma", "Vera", "Yara", "Zoe",
)  # fmt: skip

Op = Literal["plus", "minus", "times"]
OPS: tuple[Op, ...] = ("plus", "minus", "times")


def apply(op: str, left: int, right: int) -> int:
    """Return ``left op right`` modulo ``MODULUS``; both operands in ``[0, MODULUS)``.

    An ambiguous term stands for its right reading.

    >>> apply("times", 7, 8), apply("minus", 2, 5)
    (1, 8)
    """
    value = {"plus": left + right, "minus": left - right, "times": left * right}
    return value[operation_of(op)] % MODULUS


@dataclass(frozen=True)
class Step:
    """One definition: ``name equals left op right``.

    ``op`` is an operation or an ambiguous term; an operand is a name or a number.
    """

    name: str
    op: str
    left: str | int
    right: str | int

    def text(self) -> str:
        """Return the definition as a clause without a full stop."""
        return f"{self.name} equals {self.left} {self.op} {self.right}"


@dataclass(frozen=True)
class Problem:
    """A problem and its truth.

    ``steps`` are in evaluation order and the last one defines ``target``; ``given`` maps the
    people with a stated number; ``distractors`` are extra clauses that no step needs;
    ``statements`` is what the reader sees, shuffled. ``options`` holds four numbers for a
    multiple-choice problem and is empty otherwise.
    """

    steps: tuple[Step, ...]
    given: dict[str, int]
    statements: tuple[str, ...]
    options: tuple[int, ...] = ()

    @property
    def target(self) -> str:
        return self.steps[-1].name

    def values(self) -> dict[str, int]:
        """Return every person's true number."""
        known = dict(self.given)
        for step in self.steps:
            known[step.name] = apply(step.op, operand(step.left, known), operand(step.right, known))
        return known

    @property
    def gold(self) -> str:
        """The right answer: a number, or a letter A–D for a multiple-choice problem."""
        value = self.values()[self.target]
        return LETTERS[self.options.index(value)] if self.options else str(value)

    def text(self) -> str:
        """Return the question as a reader sees it."""
        lines = " ".join(f"{s}." for s in self.statements)
        options = ", ".join(
            f"{v} is {letter}" for letter, v in zip(LETTERS, self.options, strict=False)
        )
        tail = f" Options: {options}." if self.options else ""
        return f"Problem: {lines} Question: what has {self.target}?{tail}"

    def fingerprint(self) -> str:
        """Return a hash of the problem that ignores names and statement order.

        Two problems with one fingerprint are the same computation, so a fingerprint shared
        by two sets would be a leak.
        """
        label: dict[str | int, str] = {name: f"={value}" for name, value in self.given.items()}
        label |= {step.name: f"s{i}" for i, step in enumerate(self.steps)}
        parts = [
            f"{label.get(s.left, f'={s.left}')} {s.op} {label.get(s.right, f'={s.right}')}"
            for s in self.steps
        ]
        return sha256(";".join(parts).encode()).hexdigest()[:16]


def operand(side: str | int, known: dict[str, int]) -> int:
    """Return the number an operand stands for; raises ``KeyError`` for an unknown name."""
    return side if isinstance(side, int) else known[side]


def with_options(problem: Problem, rng: np.random.Generator) -> Problem:
    """Return the problem with four numbers to choose from, the right one among them."""
    truth = problem.values()[problem.target]
    wrong = [int(v) for v in rng.permutation(MODULUS) if v != truth][:3]
    options = [int(v) for v in rng.permutation([truth, *wrong])]
    return Problem(problem.steps, problem.given, problem.statements, tuple(options))
