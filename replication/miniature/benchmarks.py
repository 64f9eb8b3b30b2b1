"""The fixed question sets: three benchmarks, the judge's training questions, development ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from deepprune_core.traces import Question
from replication.miniature.chains import draw_chain
from replication.miniature.problems import Problem


@dataclass(frozen=True)
class BenchmarkSpec:
    """``size`` problems of ``steps[0]``..``steps[1]`` needed steps, drawn from ``seed``."""

    size: int
    steps: tuple[int, int]
    distractors: int
    multiple_choice: bool
    seed: int


BENCHMARKS: dict[str, BenchmarkSpec] = {
    "mini-24": BenchmarkSpec(30, (5, 7), 2, False, 2024),
    "mini-25": BenchmarkSpec(30, (7, 9), 3, False, 2025),
    "mini-science": BenchmarkSpec(60, (5, 8), 2, True, 198),
}
JUDGE_SETS: dict[str, BenchmarkSpec] = {
    "mini-train": BenchmarkSpec(300, (5, 9), 2, False, 2022),
    "mini-train-science": BenchmarkSpec(100, (5, 8), 2, True, 500),
    "mini-dev": BenchmarkSpec(40, (5, 9), 2, False, 2023),
}
SETS = BENCHMARKS | JUDGE_SETS


@cache
def all_problems() -> dict[str, tuple[Problem, ...]]:
    """Return every fixed set; no computation occurs twice within or between sets."""
    seen: set[str] = set()
    sets: dict[str, tuple[Problem, ...]] = {}
    for name, spec in SETS.items():
        rng = np.random.default_rng(spec.seed)
        problems: list[Problem] = []
        while len(problems) < spec.size:
            steps = spec.steps[0] + len(problems) % (spec.steps[1] - spec.steps[0] + 1)
            problem = draw_chain(rng, steps, spec.distractors, spec.multiple_choice)
            if problem.fingerprint() not in seen:
                seen.add(problem.fingerprint())
                problems.append(problem)
        sets[name] = tuple(problems)
    return sets


def question_ids(name: str) -> list[str]:
    """Return the ids of a set's questions, ``mini-24/07`` and the like."""
    return [f"{name}/{i:03d}" for i in range(SETS[name].size)]


def questions_of(sets: tuple[str, ...]) -> tuple[Question, ...]:
    """Return the questions of the named sets in order."""
    problems = all_problems()
    return tuple(
        Question(question_id=question_id, text=problem.text(), gold=problem.gold, benchmark=name)
        for name in sets
        for question_id, problem in zip(question_ids(name), problems[name], strict=True)
    )
