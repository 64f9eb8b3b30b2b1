"""The judge beside generation: traces that wait are placed together, as if one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.clustering import Clustering, ClusteringConfig, GreedyClusterer, Pair
from deepprune_core.judging.inputs import Judge, JudgeInput, TokenMeter


@dataclass(frozen=True)
class Placement:
    """Where a trace was put: ``cluster`` (STOPPED: nowhere), ``opened`` by it, at what score."""

    trace: int
    cluster: int
    opened: bool
    score: float


class Placer:
    """Greedy clustering over a judge that is asked in batches.

    The scores that every waiting trace is sure to need, those against the members of small
    clusters, are asked in one call. The rest is asked as the sequential rule comes to it. So the
    placements are those of the one-by-one rule, in fewer and larger calls. ``turn`` is held while
    the judge reads: several questions share a judge that can serve one thread at a time.
    """

    def __init__(
        self,
        judge: Judge,
        question: str,
        config: ClusteringConfig,
        rng: np.random.Generator,
        turn: threading.Lock | None = None,
    ) -> None:
        self.judge, self.question, self._turn = judge, question, turn or threading.Lock()
        self.clusterer = GreedyClusterer(self._score, config, rng)
        self.prefixes: dict[int, str] = {}
        self.judge_calls, self._meter = 0, TokenMeter(judge)
        self.judge_seconds = 0.0
        self._known: dict[Pair, float] = {}

    @property
    def judge_tokens(self) -> int:
        """Tokens that the judge has read for this question."""
        return self._meter.tokens

    @property
    def result(self) -> Clustering:
        """The clustering so far."""
        return self.clusterer.result()

    def place(self, arrivals: Sequence[tuple[int, str]]) -> list[Placement]:
        """Place traces in order of arrival; each comes with its prefix."""
        self.prefixes.update(arrivals)
        self._ask_ahead([trace for trace, _ in arrivals])
        return [self._place(trace) for trace, _ in arrivals]

    def _place(self, trace: int) -> Placement:
        before = self.clusterer.num_clusters
        cluster = self.clusterer.add(trace)
        return Placement(trace, cluster, cluster == before, self.clusterer.last_similarity)

    def _ask_ahead(self, traces: Sequence[int]) -> None:
        sure = self.clusterer.sure_representatives()
        self._ask([(trace, member) for trace in traces for member in sure])

    def _score(self, pairs: Sequence[Pair]) -> np.ndarray:
        self._ask([pair for pair in pairs if pair not in self._known])
        return np.array([self._known[pair] for pair in pairs])

    def _ask(self, pairs: Sequence[Pair]) -> None:
        if not pairs:
            return
        inputs = [
            JudgeInput(self.question, *(self.prefixes[t] for t in sorted(pair))) for pair in pairs
        ]
        with self._turn:
            started = time.monotonic()
            scores = self.judge.score(inputs)
            self._meter.add(inputs)
            self.judge_seconds += time.monotonic() - started
        self._known.update(zip(pairs, scores.tolist(), strict=True))
        self.judge_calls += len(pairs)
