"""Much at once: many traces of one question, many questions; memory and steps stay bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest

from deepprune_core.clustering import Choosing, ClusteringConfig, greedy_cluster
from deepprune_core.pruner import PruningConfig, StoredQuestion, replay

pytestmark = pytest.mark.slow
MIB = 2**20


def kinds(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 40, n)


@pytest.mark.parametrize("choice", get_args(Choosing))
def test_ten_thousand_traces_of_one_question_are_clustered(choice: Choosing) -> None:
    n, config = 10_000, ClusteringConfig(choice=choice)
    classes = kinds(n)

    def score(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        first, second = np.array(pairs).T
        chance = (first * 7919 + second * 104729) % 1000 / 1000
        return np.where(classes[first] == classes[second], 0.55 + 0.4 * chance, 0.4 * chance)

    tracemalloc.start()
    found = greedy_cluster(range(n), score, config, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(t for cluster in found.clusters for t in cluster) == list(range(n))
    # The judge is asked K x K1 times a trace at most, and eight bytes are kept of each time.
    assert n < found.judge_calls <= n * config.max_clusters * config.max_representatives
    assert peak < 3 * 8 * found.judge_calls + 20 * MIB


def test_thirty_questions_of_512_traces_are_replayed_one_at_a_time() -> None:
    n, config = 512, PruningConfig()
    tracemalloc.start()
    for seed in range(30):
        classes, rng = kinds(n, seed), np.random.default_rng(seed)
        scores = np.where(classes[:, None] == classes, 0.8, 0.2)
        full, cut = rng.integers(5000, 9000, n), rng.integers(300, 500, n)
        stored = StoredQuestion("q", 0, classes, full, cut, scores, np.full((n, n), 700))
        found = replay(stored, rng.permutation(n), config, rng)
        assert found.ledger.kept + found.ledger.pruned == found.ledger.generated
        assert len(found.states) == n and found.ledger.baseline == full.sum()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * MIB  # one question's matrices are 5 MiB
