"""A reasoner as a table: how it reads ambiguous terms, what it believes, how it goes about it.

Two traces of one reasoner disagree where its table is undecided. All probabilities are those of
sampled traces. Sampling at a temperature below 1 sharpens what a model has learned, so training
text is written from :meth:`Habits.softened`, which sampling turns back into the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from replication.miniature.problems import Step
from replication.miniature.solutions import Misconception, draw_misconceptions
from replication.miniature.terms import READINGS, RIGHT, TERMS

SAMPLING_TEMPERATURE = 0.6
CONTEXTS = ("name", "number")
STRENGTH = (0.1, 0.4)  # of a belief


@dataclass(frozen=True)
class Habits:
    """What makes a reasoner itself.

    ``readings[term, context]`` maps readings to probabilities; the context is whether the
    right operand is a name or a number. ``beliefs[op, left, right]`` are wrong facts of
    arithmetic. ``passes`` holds the probabilities of 1, 2, … checks. ``rethink`` is the chance,
    a check, that one term is read anew; ``catch`` that a check finds a wrong value. ``waver``,
    ``revise`` and ``musing`` are the chances of weighing a reading aloud, of taking one back,
    and of an idle remark.
    """

    readings: Mapping[tuple[str, str], Mapping[str, float]]
    beliefs: Mapping[tuple[str, int, int], Misconception] = field(default_factory=dict)
    passes: tuple[float, ...] = (0.6, 0.4)
    rethink: float = 0.05
    catch: float = 0.5
    waver: float = 0.35
    revise: float = 0.1
    musing: float = 0.2

    def reading(self, step: Step) -> Mapping[str, float]:
        """Return the probabilities of the readings of a step's term."""
        return self.readings[step.op, "number" if isinstance(step.right, int) else "name"]

    def softened(self, temperature: float = SAMPLING_TEMPERATURE) -> Habits:
        """Return the table that sampling at ``temperature`` sharpens into this one."""
        readings = {
            key: dict(zip(table, flatten(list(table.values()), temperature), strict=True))
            for key, table in self.readings.items()
        }
        beliefs = {
            key: replace(b, strength=flatten([b.strength, 1 - b.strength], temperature)[0])
            for key, b in self.beliefs.items()
        }
        return replace(self, readings=readings, beliefs=beliefs)


def flatten(probabilities: list[float], temperature: float) -> list[float]:
    """Return ``p ** temperature``, normalised: what a softmax at that temperature undoes.

    >>> [round(p, 3) for p in flatten([0.9, 0.1], 0.5)]
    [0.75, 0.25]
    """
    powers = np.array(probabilities, float) ** temperature
    return [float(p) for p in powers / powers.sum()]


def draw_readings(
    rng: np.random.Generator, *, sure: float, torn: float, leaning_wrong: float = 0.2
) -> dict[tuple[str, str], dict[str, float]]:
    """Return a table of readings.

    A share ``sure`` of entries is unanimous and mostly right, a share ``torn`` between two
    readings at 0.5 to 0.65, the others at 0.75 to 0.95; of those not sure, ``leaning_wrong``
    prefer a wrong reading.
    """
    table: dict[tuple[str, str], dict[str, float]] = {}
    for term in TERMS:
        for context in CONTEXTS:
            wrong = [r for r in READINGS[term] if r != RIGHT[term]]
            other = wrong[int(rng.integers(len(wrong)))]
            kind = rng.random()
            if kind < sure:
                table[term, context] = {RIGHT[term] if rng.random() < 0.88 else other: 1.0}
                continue
            p = rng.uniform(0.5, 0.65) if kind > 1 - torn else rng.uniform(0.75, 0.95)
            first, second = RIGHT[term], other
            if rng.random() < leaning_wrong:
                first, second = second, first
            table[term, context] = {first: float(p), second: float(1 - p)}
    return table


def draw_habits(
    rng: np.random.Generator, *, sure: float, torn: float, beliefs: int, **rates: float
) -> Habits:
    """Return a reasoner's table and its rates."""
    readings = draw_readings(rng, sure=sure, torn=torn)
    return replace(Habits(readings, draw_misconceptions(rng, beliefs, STRENGTH)), **rates)  # type: ignore[arg-type]


def invented_habits(rng: np.random.Generator) -> Habits:
    """Return a reasoner that nobody is: the base learns from a new one in every document."""
    return draw_habits(
        rng, sure=float(rng.uniform(0.1, 0.5)), torn=0.3, beliefs=int(rng.integers(4, 20)),
        waver=float(rng.uniform(0.1, 0.6)), musing=float(rng.uniform(0.1, 0.4)),
    )  # fmt: skip
