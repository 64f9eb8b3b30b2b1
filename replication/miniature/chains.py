"""Chains with ambiguous terms: the problems that reasoners are compared on.

Every step but the first takes the one before it on its left, and a given number or a literal
on its right, so that what comes next is always written down. Some needed steps use an
ambiguous term, and so may distractors. How many do decides how much traces disagree.
"""

from __future__ import annotations

import numpy as np

from replication.miniature.problems import MODULUS, NAMES, OPS, Problem, Step, with_options
from replication.miniature.terms import TERMS

# Probabilities of 0, 1, 2, 3 needed ambiguous terms.
TERM_COUNTS = (0.37, 0.36, 0.19, 0.08)
# Terms stand among the last steps, which a plan names first.
LATE = 5
LITERAL = 0.35


class _Chain:
    """Draws one chain; hands out names and terms that are still free."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.names = [NAMES[i] for i in rng.permutation(len(NAMES))]
        self.terms = [TERMS[i] for i in rng.permutation(len(TERMS))]
        self.given: dict[str, int] = {}

    def leaf(self) -> str:
        name = self.names.pop()
        self.given[name] = int(self.rng.integers(MODULUS))
        return name

    def right(self) -> str | int:
        if self.rng.random() < LITERAL:
            return int(self.rng.integers(1, MODULUS))
        return self.leaf()

    def operation(self, ambiguous: bool) -> str:
        return self.terms.pop() if ambiguous else OPS[int(self.rng.choice(3, p=(0.4, 0.3, 0.3)))]

    def distractor(self, before: str | None) -> tuple[str, str]:
        """Return a name and a clause that no step needs; it starts from no step of the chain."""
        name = self.names.pop()
        if self.rng.random() < 0.4:
            return name, f"{name} has {int(self.rng.integers(MODULUS))}"
        leaves = list(self.given)
        left = before or leaves[int(self.rng.integers(len(leaves)))]
        operation = self.operation(bool(self.terms) and self.rng.random() < 0.4)
        return name, f"{name} equals {left} {operation} {self.right()}"


def draw_chain(
    rng: np.random.Generator,
    steps: int,
    distractors: int = 2,
    multiple_choice: bool = False,
    terms: int | None = None,
) -> Problem:
    """Return a random chain of ``steps`` steps of which ``terms`` are ambiguous.

    ``terms`` is drawn from :data:`TERM_COUNTS` if it is None, and never more than ``steps``.
    Raises ``ValueError`` if ``steps`` < 1.
    """
    if steps < 1:
        raise ValueError(f"a chain needs at least 1 step, got {steps}")
    chain = _Chain(rng)
    wanted = int(rng.choice(len(TERM_COUNTS), p=TERM_COUNTS)) if terms is None else terms
    late = np.arange(steps)[-LATE:]
    ambiguous = set(rng.permutation(late)[:wanted].tolist())
    made: list[Step] = []
    for i in range(steps):
        left = made[-1].name if made else chain.leaf()
        made.append(Step(chain.names.pop(), chain.operation(i in ambiguous), left, chain.right()))
    extra: list[str] = []
    before: str | None = None
    for _ in range(distractors):
        before, clause = chain.distractor(before if rng.random() < 0.5 else None)
        extra.append(clause)
    clauses = [f"{name} has {value}" for name, value in chain.given.items()]
    clauses += [*(step.text() for step in made), *extra]
    order = rng.permutation(len(clauses))
    problem = Problem(tuple(made), dict(chain.given), tuple(clauses[i] for i in order))
    return with_options(problem, rng) if multiple_choice else problem
