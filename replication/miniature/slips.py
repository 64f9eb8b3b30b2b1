"""What goes wrong in sampled traces: each is followed sentence by sentence and its slips named.

A trace is judged by the problem and its own words, not by the gold answer: a wrong reading that
the reasoner's table allows is no slip, nor is a believed wrong fact. What remains is bookkeeping,
reading, arithmetic, or a trace that never ends.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deepprune_core.formats.trace_files import read_traces
from replication.miniature.benchmarks import SETS, all_problems, question_ids
from replication.miniature.habits import Habits
from replication.miniature.problems import Problem, Step, apply, operand
from replication.miniature.recipes import HABITS
from replication.miniature.terms import READINGS, TERMS, operation_of

KINDS = ("unfinished", "misread", "order", "operand", "arithmetic", "reading", "answer")
_DEFINITION = re.compile(r"\b([A-Z]\w*) equals (\w+) (\w+) (\w+)\.")
_COMPUTED = re.compile(
    r"\b([A-Z]\w*) equals (\w+) (\w+) (\w+)\. (?:[\w, ]*?)((?:[A-Z]\w* has \d+(?: and )?)+), "
    r"(\d+) (\w+) (\d+) is (\d+), (?:[\w, ]*?)\b([A-Z]\w*) has (\d+)"
)
_HAS = re.compile(r"([A-Z]\w*) has (\d+)")
_SETTLED = re.compile(r"\b(\w+) is (\w+)\.")
_ANSWER = re.compile(r"\b([A-Z]\w*) has (\d+)\. (?:\d+ is (?:\w+)\. )?answer: \\boxed\{(\w+)\}")


def find_slips(problem: Problem, text: str, habits: Habits | None = None) -> list[str]:
    """Return the kinds of slip in a trace, in order of appearance; empty for a sound one.

    ``habits`` say which readings and wrong facts are the reasoner's own; without them every
    reading is allowed and every wrong fact is a slip.
    """
    if "\\boxed{" not in text:
        return ["unfinished"]
    head, *checks = re.split(r"check \d: \d\. ", text)
    return _Reader(problem, habits).read(head, checks)


class _Reader:
    """Follows one trace: what it has read, what it believes, where it left the path."""

    def __init__(self, problem: Problem, habits: Habits | None) -> None:
        self.problem, self.habits = problem, habits
        self.steps = {step.name: step for step in problem.steps}
        self.readings: dict[str, str] = {}
        self.known = dict(problem.given)
        self.slips: list[str] = []

    def read(self, head: str, checks: Sequence[str]) -> list[str]:
        computed = list(_COMPUTED.finditer(head))
        start = computed[0].start() if computed else len(head)
        self.plan(head[:start])
        self.compute(head[start:])
        for check in checks:
            self.settle(check)
            self.compute(check)
        self.answer(head if not checks else checks[-1])
        return self.slips

    def plan(self, text: str) -> None:
        """Compare the plan with the chain, from the question back to its start."""
        self.settle(text)
        if set(self.readings) != {s.op for s in self.problem.steps if s.op in TERMS}:
            self.slips.append("reading")
        expected = []
        for step in reversed(self.problem.steps):
            words = [step.op, operation_of(step.op, self.readings.get(step.op))]
            for word in words[: 1 + (step.op in TERMS)]:
                expected.append((step.name, str(step.left), word, str(step.right)))
        found = [match.groups() for match in _DEFINITION.finditer(text)]
        if [line[0] for line in found] != [line[0] for line in expected]:
            self.slips.append("order")
        elif found != expected:
            self.slips.append("misread")

    def settle(self, text: str) -> None:
        """Take over the readings that a text settles; one the table lacks is a slip."""
        for match in _SETTLED.finditer(text):
            if match[1] in TERMS and match[2] in READINGS[match[1]]:
                self.readings[match[1]] = match[2]
        for step in self.problem.steps:
            reading = self.readings.get(step.op)
            if self.habits and reading and reading not in self.habits.reading(step):
                self.slips.append("reading")

    def compute(self, text: str) -> None:
        found = list(_COMPUTED.finditer(text))
        if [m[1] for m in found] != [step.name for step in self.problem.steps]:
            self.slips.append("order")
        for match in found:
            if step := self.steps.get(match[1]):
                self.line(step, match)

    def line(self, step: Step, match: re.Match[str]) -> None:
        """Compare one computation with its definition, its operands and the truth."""
        _, left, word, right, operands, a, op, b, value, name, result = match.groups()
        expected = operation_of(step.op, self.readings.get(step.op))
        if (left, word, right) != (str(step.left), expected, str(step.right)) or op != expected:
            self.slips.append("misread")
        wanted = [s for s in (step.left, step.right) if isinstance(s, str)]
        stated = [(m[1], int(m[2])) for m in _HAS.finditer(operands)]
        if any(s not in self.known for s in wanted):  # computed before what it needs
            self.slips.append("order")
            return
        numbers = (operand(step.left, self.known), operand(step.right, self.known))
        if stated != [(s, self.known[s]) for s in wanted] or (int(a), int(b)) != numbers:
            self.slips.append("operand")
        elif name != step.name or result != value or not self.allowed(op, *numbers, int(value)):
            self.slips.append("arithmetic")
        self.known[step.name] = int(result)

    def allowed(self, op: str, left: int, right: int, value: int) -> bool:
        if op not in ("plus", "minus", "times"):
            return False
        belief = self.habits.beliefs.get((op, left, right)) if self.habits else None
        return value == apply(op, left, right) or (belief is not None and value == belief.value)

    def answer(self, text: str) -> None:
        match = _ANSWER.search(text)
        if not match or match[1] != self.problem.target:
            self.slips.append("answer")
            return
        value = self.known.get(self.problem.target)
        wanted = str(value)
        if self.problem.options and value is not None:
            wanted = self.problem.letter(value)
        if match[3] != wanted or match[2] != str(value):
            self.slips.append("answer")


def slip_table(traces_file: Path, habits: Habits | None) -> tuple[Counter[str], int]:
    """Return how many traces have each kind as their first slip (``none``: sound), and how many."""
    problems = {
        question_id: problem
        for name in SETS
        for question_id, problem in zip(question_ids(name), all_problems()[name], strict=True)
    }
    traces = read_traces(traces_file)
    counts: Counter[str] = Counter()
    for question, group in zip(traces.questions, traces.traces, strict=True):
        for trace in group:
            slips = find_slips(problems[question.question_id], trace.text, habits)
            counts[slips[0] if slips else "none"] += 1
    return counts, traces.num_traces


def main(arguments: list[str] | None = None) -> None:
    """Print the share of traces by their first slip."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.miniature.slips", description=main.__doc__
    )
    parser.add_argument("traces", nargs="+", type=Path, help="files named after their reasoner")
    for path in parser.parse_args(arguments).traces:
        counts, total = slip_table(path, HABITS.get(path.stem.split("-")[0]))
        shares = ", ".join(f"{k} {counts[k] / total:.1%}" for k in ("none", *KINDS) if counts[k])
        print(f"{path.stem}: {total} traces, first slip: {shares}")


if __name__ == "__main__":
    main()
