"""Sample the miniature's traces: which reasoner answers which question set how often.

``python -m deepprune_core.miniature.sampling`` writes ``data/traces/<job>.parquet`` for every
job that is not there yet. A killed run keeps its finished questions and continues.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deepprune_core.miniature.benchmarks import BENCHMARKS, all_problems, question_ids
from deepprune_core.miniature.tokenizer import prompt_text
from deepprune_core.traces import Question

MAX_TOKENS = 1100
RUN_SEED = 20251009


@dataclass(frozen=True)
class Job:
    """``traces`` samples of every question in ``sets`` from one ``reasoner``."""

    reasoner: str
    sets: tuple[str, ...]
    traces: int
    confidences: bool


JOBS: dict[str, Job] = {
    "ash-train": Job("ash", ("mini-train", "mini-train-science"), 8, confidences=False),
    "ash-dev": Job("ash", ("mini-dev",), 16, confidences=False),
    "ash": Job("ash", tuple(BENCHMARKS), 16, confidences=False),
    "birch": Job("birch", tuple(BENCHMARKS), 64, confidences=True),
    "cedar": Job("cedar", tuple(BENCHMARKS), 64, confidences=True),
    "oak": Job("oak", tuple(BENCHMARKS), 64, confidences=True),
}


def questions_of(sets: tuple[str, ...]) -> tuple[Question, ...]:
    """Return the questions of the named sets in order."""
    problems = all_problems()
    return tuple(
        Question(question_id=question_id, text=problem.text(), gold=problem.gold, benchmark=name)
        for name in sets
        for question_id, problem in zip(question_ids(name), problems[name], strict=True)
    )
