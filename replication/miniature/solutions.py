"""Chains of thought for the miniature problems: what the reasoners learn to write.

A solution walks from the question back to the given numbers (depth first, children in
random order), computes on the way up, restates the operands beside each operation, checks
itself and ends in ``\\boxed{…}``. The wording varies. Slips happen with a probability that
depends on the operation: some are noticed at once ("wait, that is wrong"), some only in the
re-check, some never. A :class:`DataMix` sets the rates, so that reasoners differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from replication.miniature.problems import MODULUS, Op, Problem, Step, apply, operand

OPENERS = ("so", "now", "then", "hmm, so", "so then", "but first", "well,", "now then", "hmm,")
LEAVES = ("so", "then", "since", "and so", "and then", "because")
RESULTS = ("so", "thus", "hence", "therefore")
CAUSES = ("since", "because", "as", "hmm, since", "now since", "so since")
MUSINGS = (
    "hmm, let me think.",
    "wait, let me see.",
    "okay, so far so good.",
    "alternatively, go on.",
    "hmm, wait.",
    "but then, go on.",
)
CHECKS = (
    "let me check",
    "now let me check",
    "wait, let me check",
    "hmm, let me check",
    "then check",
)
REPAIR = ("wait, that is wrong.", "hmm, that is wrong.", "wait, no.", "but wait, that is wrong.")


BELIEF_OPS: tuple[Op, ...] = ("times", "times", "minus", "plus")


@dataclass(frozen=True)
class Misconception:
    """A wrong ``value`` that a reasoner writes with probability ``strength``."""

    value: int
    strength: float


@dataclass(frozen=True)
class DataMix:
    """How often a reasoner's training solutions slip, notice and re-check.

    ``slip`` is the base probability of a slip in one operation, scaled by its hardness;
    ``notice`` the share of slips repaired at once; ``recheck`` the share of steps that are
    checked at the end; ``catch`` the share of old slips that a check finds; ``musing`` the
    chance of an idle remark before a step. ``misconceptions`` are the operations this
    reasoner gets wrong systematically; a believed value is never noticed.
    """

    slip: float = 0.015
    notice: float = 0.5
    recheck: float = 0.85
    catch: float = 0.4
    musing: float = 0.3
    misconceptions: dict[tuple[str, int, int], Misconception] = field(default_factory=dict)


def draw_misconceptions(
    rng: np.random.Generator, count: int, strength: tuple[float, float] = (0.2, 0.7)
) -> dict[tuple[str, int, int], Misconception]:
    """Return ``count`` operations with a fixed wrong value each, products mostly."""
    facts: dict[tuple[str, int, int], Misconception] = {}
    while len(facts) < count:
        op = BELIEF_OPS[int(rng.integers(len(BELIEF_OPS)))]
        left, right = (int(v) for v in rng.integers(2, MODULUS, size=2))
        wrong = (apply(op, left, right) + int(rng.choice((-1, 1, 2)))) % MODULUS
        facts[op, left, right] = Misconception(wrong, float(rng.uniform(*strength)))
    return facts


def hardness(op: str, left: int, right: int) -> float:
    """Return how many times the base rate an operation slips: 3 for large products, else less."""
    if op == "times":
        return 3.0 if min(left, right) >= 5 else 1.0
    if op == "minus":
        return 1.5 if left < right else 0.5
    return 1.0 if left + right >= MODULUS else 0.4


class _Writer:
    """Writes one solution; ``known`` holds the values as believed, slips included."""

    def __init__(self, problem: Problem, mix: DataMix, rng: np.random.Generator) -> None:
        self.problem, self.mix, self.rng = problem, mix, rng
        self.defs = {step.name: step for step in problem.steps}
        self.known: dict[str, int] = {}
        self.done: list[Step] = []
        self.out: list[str] = []

    def pick(self, choices: tuple[str, ...]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def maybe(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def believed(self, step: Step) -> int:
        """Return what the reasoner gets for a step from the values it believes."""
        left, right = operand(step.left, self.known), operand(step.right, self.known)
        truth = apply(step.op, left, right)
        fact = self.mix.misconceptions.get((step.op, left, right))
        if fact is not None and self.maybe(fact.strength):
            return fact.value
        if self.maybe(self.mix.slip * hardness(step.op, left, right)):
            return int((truth + self.rng.choice((1, -1, 2, 5), p=(0.5, 0.3, 0.1, 0.1))) % MODULUS)
        return truth

    def visit(self, name: str) -> None:
        """Find a person's number: read it, or open its definition and visit what it needs."""
        step = self.defs.get(name)
        if step is None:
            self.known[name] = self.problem.given[name]
            self.out.append(f"{self.pick(LEAVES)} {name} has {self.known[name]}.")
            return
        if self.maybe(self.mix.musing):
            self.out.append(self.pick(MUSINGS))
        self.out.append(f"{self.pick(OPENERS)} {step.text()}.")
        needs = [side for side in (step.left, step.right) if isinstance(side, str)]
        if self.maybe(0.5):
            needs.reverse()
        for side in needs:
            if side not in self.known:
                self.visit(side)
        self.close(step)

    def operands(self, step: Step) -> str:
        """Return the clause that restates the operands: ``Bob has 4 and Dan has 5``."""
        named = [
            f"{s} has {self.known[s]}"
            for s in dict.fromkeys((step.left, step.right))
            if isinstance(s, str)
        ]
        return " and ".join(named)

    def operation(self, step: Step, value: int) -> str:
        left, right = operand(step.left, self.known), operand(step.right, self.known)
        return f"{left} {step.op} {right} is {value}"

    def close(self, step: Step) -> None:
        """Compute a step from its operands, perhaps with a slip and its repair."""
        value = self.believed(step)
        truth = self.truth(step)
        self.out.append(
            f"{self.pick(CAUSES)} {self.operands(step)}, {self.pick(RESULTS)} "
            f"{self.operation(step, value)}, {self.pick(RESULTS)} {step.name} has {value}."
        )
        if value != truth and not self.believes(step, value) and self.maybe(self.mix.notice):
            value = truth
            self.out.append(
                f"{self.pick(REPAIR)} {self.operation(step, value)}, "
                f"{self.pick(RESULTS)} {step.name} has {value}."
            )
        self.known[step.name] = value
        self.done.append(step)

    def believes(self, step: Step, value: int) -> bool:
        left, right = operand(step.left, self.known), operand(step.right, self.known)
        fact = self.mix.misconceptions.get((step.op, left, right))
        return fact is not None and fact.value == value

    def truth(self, step: Step) -> int:
        return apply(step.op, operand(step.left, self.known), operand(step.right, self.known))

    def check(self) -> None:
        """Go over the steps once more; a caught slip changes everything that follows it."""
        changed = False
        for step in self.done:
            if not (changed or self.maybe(self.mix.recheck)):
                continue
            truth, old = self.truth(step), self.known[step.name]
            convinced = self.believes(step, old)
            caught = old != truth and not convinced and (changed or self.maybe(self.mix.catch))
            value = truth if caught else old
            verdict = f"wait, so {step.name} has {value}." if caught else "right."
            tail = verdict if caught else f"{self.pick(RESULTS)} {step.name} has {value}, {verdict}"
            self.out.append(
                f"{self.pick(CHECKS)} {step.name}. {self.pick(CAUSES)} {self.operands(step)}, "
                f"{self.operation(step, value)}, {tail}"
            )
            self.known[step.name] = value
            changed = changed or caught

    def answer(self) -> None:
        target = self.problem.target
        value = self.known[target]
        self.out.append(f"{self.pick(RESULTS)} {target} has {value}.")
        self.out.append(self.problem.closing(value))


def write_solution(problem: Problem, mix: DataMix, rng: np.random.Generator) -> str:
    """Return one chain of thought for ``problem``, ending in ``\\boxed{…}``."""
    writer = _Writer(problem, mix, rng)
    writer.visit(problem.target)
    writer.check()
    writer.answer()
    return " ".join(writer.out)
