"""Thoughts of stored traces: their places in tokens, and which of them are alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepprune_core.answers import grade_all
from deepprune_core.pairs import all_pairs
from deepprune_core.traces import Question, Trace, TraceSet
from replication.online import play_all, play_consistency
from replication.run import GradedTraces, Run
from replication.slim_sc import play_slim, thinking
from replication.workflow.profile import ROOT, SlimSection, load_profile

SAME = "We add three and four, which gives seven in all.\n\n"
TEXTS = (
    SAME + "So the answer is \\boxed{7}.",
    SAME + "But a cat sat down. So \\boxed{8}.",
    "The moon is far away.\n\nWait, it is \\boxed{7}.",
)


@pytest.fixture(scope="module")
def traces() -> GradedTraces:
    group = tuple(Trace("q", str(i), text, 40 + 20 * i) for i, text in enumerate(TEXTS))
    found = TraceSet("m", (Question("q", "How many?", "7", "b"),), (group,))
    graded = grade_all(found)
    return GradedTraces(found, graded, all_pairs(graded), ())


@pytest.fixture(scope="module")
def run() -> Run:
    profile = load_profile(ROOT / "replication/profiles/mini.yaml")
    slim = SlimSection(tau=0.99, warmup=10, interval=5)
    return Run(profile.model_copy(update={"slim": slim}), Path("out"), Path("work"))


def test_thoughts_lie_in_order_and_equal_ones_are_alike(run, traces):
    (found,) = thinking(run, traces)
    assert found.owner.tolist() == [0, 0, 1, 1, 2, 2]
    assert (found.start < found.end).all()
    for trace in range(3):
        mine = found.owner == trace
        assert found.end[mine].max() == found.num_tokens[trace]
        assert (found.start[mine][1:] == found.end[mine][:-1]).all()
    np.testing.assert_allclose(np.diag(found.similar), 1, atol=1e-5)
    assert found.similar[0, 2] == pytest.approx(1, abs=1e-5) and found.similar[0, 4] < 0.9


def test_one_of_two_like_traces_stops_and_tokens_are_saved(run, traces):
    cell = play_all(run, "slim", traces, play_slim(run, thinking(run, traces)))
    whole = play_all(run, "all", traces, play_consistency(traces))
    assert (cell.generated < whole.generated).all()
    assert (cell.generated <= cell.baseline).all() and (cell.judge > 0).all()


def test_a_profile_without_settings_is_refused(run, traces):
    bare = Run(run.profile.model_copy(update={"slim": None}), run.out, run.work)
    with pytest.raises(ValueError, match="expected a section slim"):
        play_slim(bare, ())
