"""ReASC in Table 2: calibrated within a benchmark, on first stored traces, without answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepprune_core.answers import grade_all
from deepprune_core.pairs import all_pairs
from deepprune_core.traces import Question, Trace, TraceSet
from replication.online import play_all, play_reasc
from replication.run import GradedTraces, Run
from replication.workflow.profile import ROOT, load_profile

TOKENS, QUESTIONS, TRACES = 20, 24, 3


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(load_profile(ROOT / "replication/profiles/ci.yaml"), Path("out"), Path("work"))


def traces_of(gold: str) -> GradedTraces:
    """Return two benchmarks; in each half of the questions, all traces are ten nats surer."""
    rng = np.random.default_rng(0)
    questions, groups = [], []
    for i in range(QUESTIONS):
        benchmark, sure = f"b{i % 2}", 10.0 * (i < QUESTIONS // 2)
        questions.append(Question(f"{benchmark}/{i}", f"What is {i}?", gold, benchmark))
        groups.append(tuple(
            Trace(f"{benchmark}/{i}", str(n), f"\\boxed{{{n}}}", TOKENS, confidences=(
                100 * (i % 2) + sure + rng.uniform(5, 6, TOKENS)).astype(np.float16))
            for n in range(TRACES)
        ))  # fmt: skip
    found = TraceSet("m", tuple(questions), tuple(groups))
    graded = grade_all(found)
    return GradedTraces(found, graded, all_pairs(graded), ())


def test_sure_questions_take_one_trace_whatever_the_benchmark_s_scale(run):
    cell = play_all(run, "ReASC", traces_of("0"), play_reasc(run, traces_of("0")))
    asked = cell.generated / TOKENS
    # A question of the surer kind ends with its first trace if that is surer than the kind's mean;
    # the others' answers all differ, so all of their traces are asked.
    assert (asked[:, QUESTIONS // 2 :] == TRACES).all()
    sure = asked[:, : QUESTIONS // 2]
    for benchmark in (0, 1):
        assert 0.2 < (sure[:, benchmark::2] == 1).mean() < 0.8


def test_answers_play_no_part_in_the_calibration(run):
    right, wrong = (traces_of(gold) for gold in ("0", "77"))
    one, other = (play_all(run, "ReASC", t, play_reasc(run, t)) for t in (right, wrong))
    np.testing.assert_array_equal(one.generated, other.generated)
    assert one.right.any() and not other.right.any()
