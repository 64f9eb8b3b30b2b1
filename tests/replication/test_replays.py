"""Rules that share a clustering get what each would get alone, the random stream included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.pruner import PruningConfig, StoredQuestion, replay
from replication import replays
from replication.replays import Replays, for_each
from replication.run import Run
from replication.workflow.profile import ROOT, load_profile

FEW = ClusteringConfig(0.5, 4, 2)
RULES = (
    PruningConfig(FEW, k2=3, k3=3),
    PruningConfig(FEW, "survivors"),
    PruningConfig(FEW, "survivors", "cluster_weighted"),
    PruningConfig(replace(FEW, tau=0.4), k2=3, k3=3),
)


def question(seed: int, n: int = 14) -> StoredQuestion:
    rng = np.random.default_rng(seed)
    scores = rng.random((n, n))
    return StoredQuestion(
        "q", 0, rng.integers(-1, 3, n), rng.integers(50, 100, n), rng.integers(10, 50, n),
        (scores + scores.T) / 2, np.full((n, n), 7), encode_tokens=rng.integers(1, 9, n),
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 9999))
def test_shared_clusterings_change_nothing(seed: int) -> None:
    questions = [question(seed), question(seed + 1)]
    shared = Replays(questions)
    for rule in (*RULES, *RULES):
        for j in range(2):
            alone, together = np.random.default_rng(seed), np.random.default_rng(seed)
            order = alone.permutation(14)
            together.permutation(14)
            plain = replay(questions[j], order.tolist(), rule, alone)
            found = shared.play(j, order, rule, together)
            assert (found.finished, found.ledger, found.states, found.right) == (
                plain.finished, plain.ledger, plain.states, plain.right,
            )  # fmt: skip
            assert found.clustering.clusters == plain.clustering.clusters
            assert alone.bit_generator.state == together.bit_generator.state


def test_a_clustering_is_made_once_for_all_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    cluster = replays.cluster_stored
    monkeypatch.setattr(replays, "cluster_stored", lambda *rest: made.append(1) or cluster(*rest))
    shared = Replays([question(1)])
    for rule in RULES:
        for seed in range(5):
            rng = np.random.default_rng(seed)
            shared.play(0, rng.permutation(14), rule, rng)
    assert len(made) == 2 * 5  # two thresholds


def doubled(run: Run, one: int, other: str) -> str:
    return f"{run.profile.name} {2 * one} {other}"


def test_work_on_all_cores_keeps_its_order(tmp_path: Path) -> None:
    run = Run(load_profile(ROOT / "replication" / "profiles" / "ci.yaml"), tmp_path, tmp_path)
    assert for_each(run, doubled, [1, 2, 3], "abc") == ["ci 2 a", "ci 4 b", "ci 6 c"]
