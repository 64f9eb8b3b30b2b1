r"""Chains of thought for chains with ambiguous terms: plan first, compute, check, answer.

A trace lists what it needs from the question backwards and reads the terms there, stating each
definition again in plain words. Then it computes upwards; each computation begins with its own
definition. It checks itself, having announced how often; now and then a check reads a term anew,
an end that no prefix shows. It ends in ``\boxed{…}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from replication.miniature.habits import Habits
from replication.miniature.problems import Problem, Step, apply, operand
from replication.miniature.solutions import CAUSES, CHECKS, MUSINGS, OPENERS, REPAIR, RESULTS
from replication.miniature.terms import READINGS, TERMS, operation_of


class _Narrator:
    """Writes one trace; ``known`` holds the values as believed, ``read`` the readings."""

    def __init__(self, problem: Problem, habits: Habits, rng: np.random.Generator) -> None:
        self.problem, self.habits, self.rng = problem, habits, rng
        self.known: dict[str, int] = dict(problem.given)
        self.read: dict[str, str] = {}
        self.out: list[str] = []

    def pick(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def maybe(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def draw(self, table: Mapping[str, float]) -> str:
        return list(table)[int(self.rng.choice(len(table), p=list(table.values())))]

    def plan(self) -> None:
        """List the chain from the question to its start, reading terms on the way."""
        for step in reversed(self.problem.steps):
            if self.maybe(self.habits.musing):
                self.out.append(self.pick(MUSINGS))
            self.out.append(f"{self.pick(OPENERS)} {step.text()}.")
            if step.op in TERMS:
                self.settle(step)

    def settle(self, step: Step) -> None:
        """Decide how to read a step's term, perhaps weighing it or taking a reading back."""
        term, reading = step.op, self.draw(self.habits.reading(step))
        other = self.pick([r for r in READINGS[term] if r != reading])
        if self.maybe(self.habits.waver):
            first, second = (reading, other) if self.maybe(0.5) else (other, reading)
            self.out.append(f"hmm, is {term} {first} or {second}?")
        if self.maybe(self.habits.revise):
            self.out.append(f"{self.pick(RESULTS)} {term} is {other}. {self.pick(REPAIR)}")
        self.read[term] = reading
        self.resolve(step)

    def resolve(self, step: Step) -> None:
        """State how a step's term is read, and the definition in plain words."""
        self.out.append(f"{self.pick(RESULTS)} {step.op} is {self.read[step.op]}.")
        self.out.append(f"{self.pick(RESULTS)} {self.clause(step)}.")

    def operation(self, step: Step) -> str:
        return operation_of(step.op, self.read.get(step.op))

    def clause(self, step: Step) -> str:
        return f"{step.name} equals {step.left} {self.operation(step)} {step.right}"

    def numbers(self, step: Step) -> tuple[str, int, int]:
        """Return the operation and the two numbers it works on."""
        left, right = operand(step.left, self.known), operand(step.right, self.known)
        return self.operation(step), left, right

    def operands(self, step: Step) -> str:
        """Return the clause that restates the operands: ``Bob has 4 and Dan has 5``."""
        sides = [s for s in (step.left, step.right) if isinstance(s, str)]
        return " and ".join(f"{s} has {self.known[s]}" for s in sides)

    def believed(self, step: Step) -> int:
        """Return what the reasoner gets for a step, a wrong belief included."""
        key = self.numbers(step)
        belief = self.habits.beliefs.get(key)
        return belief.value if belief and self.maybe(belief.strength) else apply(*key)

    def compute(self, step: Step) -> None:
        value = self.believed(step)
        op, left, right = self.numbers(step)
        self.out.append(
            f"{self.pick(OPENERS)} {self.clause(step)}. {self.pick(CAUSES)} "
            f"{self.operands(step)}, {left} {op} {right} is {value}, "
            f"{self.pick(RESULTS)} {step.name} has {value}."
        )
        self.known[step.name] = value

    def rethink(self) -> str | None:
        """Read one term anew; return the term if that changed its reading."""
        steps = [s for s in self.problem.steps if s.op in self.read]
        if not steps or not self.maybe(self.habits.rethink):
            return None
        step = steps[int(self.rng.integers(len(steps)))]
        old, new = self.read[step.op], self.draw(self.habits.reading(step))
        self.out.append(f"wait, is {step.op} {old}?")
        self.read[step.op] = new
        self.resolve(step)
        return step.op if new != old else None

    def check(self) -> None:
        """Go over all steps; only what follows from a change is computed anew."""
        term, changed = self.rethink(), set[str]()
        for step in self.problem.steps:
            old, truth = self.known[step.name], apply(*self.numbers(step))
            value = old
            if step.op == term or step.left in changed:
                value = self.believed(step)
            elif old != truth and self.maybe(self.habits.catch):
                value = truth
            if value != old:
                changed.add(step.name)
            self.recheck(step, value)

    def recheck(self, step: Step, value: int) -> None:
        """Write one line of a check and take over its value."""
        op, left, right = self.numbers(step)
        end = (
            f"{self.pick(RESULTS)} {step.name} has {value}, right."
            if value == self.known[step.name]
            else f"wait, so {step.name} has {value}."
        )
        self.out.append(
            f"{self.pick(CHECKS)} {self.clause(step)}. {self.pick(CAUSES)} "
            f"{self.operands(step)}, {left} {op} {right} is {value}, {end}"
        )
        self.known[step.name] = value

    def answer(self) -> None:
        target = self.problem.target
        value = self.known[target]
        self.out.append(f"{self.pick(RESULTS)} {target} has {value}.")
        self.out.append(self.problem.closing(value))


def narrate(problem: Problem, habits: Habits, rng: np.random.Generator) -> str:
    """Return one trace of a reasoner with these habits."""
    narrator = _Narrator(problem, habits, rng)
    narrator.plan()
    for step in problem.steps:
        narrator.compute(step)
    passes = 1 + int(rng.choice(len(habits.passes), p=habits.passes))
    for i in range(passes):
        narrator.out.append(f"check {i + 1}: {passes}.")
        narrator.check()
    narrator.answer()
    return " ".join(narrator.out)
