r"""Greedy clustering of unfinished traces (paper, section 3, online pruning).

Traces arrive one by one. A trace is compared with every cluster:

.. math:: \mathrm{sim}(t_i, c_j) = \frac{1}{p} \sum_{h=1}^{p} J(t_i, t_h^{(j)}), \quad p \le K_1,

over p members drawn from the cluster. It joins the best cluster whose similarity is greater
than :math:`\tau`, and opens a new one otherwise, while fewer than K exist. The module knows no
engine and no judge: it asks a callable for the scores of pairs of trace indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Literal

import numpy as np

Pair = tuple[int, int]
ScorePairs = Callable[[Sequence[Pair]], np.ndarray]
"""Maps n pairs (arriving trace, representative) to (n,) probabilities of the same answer."""

STOPPED = -1
Choosing = Literal["random", "first", "medoid"]


@dataclass(frozen=True)
class ClusteringConfig:
    """The rule's settings; the defaults are the paper's, where it gives them.

    ``tau``: least similarity (exclusive) to join. ``max_clusters``: K.
    ``max_representatives``: K1. ``overflow`` names what happens to an unmatched trace once K
    clusters exist, which the paper leaves open: ``join_best`` joins the most similar cluster,
    ``keep_alone`` opens a cluster beyond K, ``stop`` drops the trace. ``similarity`` averages
    probabilities (``mean``) or yes/no votes at 1/2 (``vote``). ``choice`` of a large cluster's
    representatives: ``random`` is the paper's; ``first`` keeps the earliest members, so that a
    judge reads the same few prefixes again and again; ``medoid`` takes those that met their
    cluster's members with the highest mean score.
    """

    tau: float = 0.5
    max_clusters: int = 32
    max_representatives: int = 10
    overflow: Literal["join_best", "keep_alone", "stop"] = "join_best"
    similarity: Literal["mean", "vote"] = "mean"
    choice: Choosing = "random"

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1:
            raise ValueError(f"expected tau in [0, 1], got {self.tau}")
        if self.max_clusters < 1 or self.max_representatives < 1:
            raise ValueError(f"expected K and K1 of at least 1, got {self}")


@dataclass(frozen=True)
class Clustering:
    """The outcome for n traces.

    ``clusters``: members in arrival order, clusters in order of birth; ``similarity``: best
    similarity each trace met on arrival, in arrival order (NaN for the first); ``asked``: (m, 2)
    int32, all scored pairs; ``stopped``: traces that the ``stop`` rule dropped.
    """

    clusters: tuple[tuple[int, ...], ...]
    similarity: np.ndarray
    asked: np.ndarray
    stopped: tuple[int, ...]

    @property
    def judge_calls(self) -> int:
        return len(self.asked)


TIE_DIGITS = 12  # similarities that agree so far are equal, to one another and to tau


class _Central:
    """A cluster's members by the mean of the scores that they met, highest first.

    Members are known by their position in the cluster. Every step takes the logarithm of their
    number: only those that a new trace was compared with get another mean.
    """

    def __init__(self) -> None:
        self._ranks: list[tuple[float, int]] = [(0.0, 0)]  # a heap of (-mean, position)
        self._sums, self._counts = [0.0], [0]

    def first(self, count: int) -> list[int]:
        """Return the positions of at most ``count`` members, in arrival order."""
        taken = [heappop(self._ranks) for _ in range(min(count, len(self._ranks)))]
        for rank in taken:
            heappush(self._ranks, rank)
        return sorted(position for _, position in taken)

    def join(self, positions: Sequence[int], scores: Sequence[float]) -> None:
        """Take a new member, which met the first ``len(positions)`` ones with ``scores``."""
        for position, score in zip(positions, scores, strict=True):
            heappop(self._ranks)
            self._sums[position] += score
            self._counts[position] += 1
        self._sums.append(sum(scores))
        self._counts.append(len(scores))
        for position in (*positions, len(self._sums) - 1):
            mean = self._sums[position] / self._counts[position]
            heappush(self._ranks, (-mean, position))


class GreedyClusterer:
    """Grows the clustering one trace at a time, for replay and live runs alike."""

    def __init__(
        self, score: ScorePairs, config: ClusteringConfig, rng: np.random.Generator
    ) -> None:
        self.config = config
        self._score, self._rng = score, rng
        self._clusters: list[list[int]] = []
        self._similarity: list[float] = []
        self._asked: list[np.ndarray] = [np.zeros((0, 2), np.int32)]
        self._stopped: list[int] = []
        self._drawn: list[list[int]] = []  # positions of representatives, for the last trace
        self._scores = np.zeros(0)  # theirs with it, cluster after cluster
        self._central: list[_Central] = []

    @property
    def num_clusters(self) -> int:
        return len(self._clusters)

    @property
    def members(self) -> Sequence[Sequence[int]]:
        """The clusters so far, as they grow."""
        return self._clusters

    @property
    def last_similarity(self) -> float:
        """The best similarity that the last trace met; NaN for the first one."""
        return self._similarity[-1]

    def add(self, trace: int) -> int:
        """Place an arriving trace; return its cluster's index, or STOPPED.

        All its pairs go to the scorer in one call.
        """
        similarities = self._similarities(trace)
        best = int(np.argmax(similarities)) if len(similarities) else STOPPED
        self._similarity.append(float(similarities[best]) if len(similarities) else float("nan"))
        place = self._place(similarities, best)
        if place == STOPPED:
            self._stopped.append(trace)
        elif place == len(self._clusters):
            self._clusters.append([trace])
            self._central.append(_Central())
        else:
            self._clusters[place].append(trace)
            if self.config.choice == "medoid":
                positions, start = self._drawn[place], sum(map(len, self._drawn[:place]))
                scores = self._scores[start : start + len(positions)]
                self._central[place].join(positions, scores.tolist())
        return place

    def sure_representatives(self) -> list[int]:
        """Return members that any trace arriving next is sure to be compared with."""
        limit = self.config.max_representatives
        return [
            member
            for cluster in self._clusters
            if len(cluster) <= limit or self.config.choice == "first"
            for member in cluster[:limit]
        ]

    def result(self) -> Clustering:
        """Return the clustering so far."""
        return Clustering(
            tuple(map(tuple, self._clusters)),
            np.array(self._similarity),
            np.concatenate(self._asked),
            tuple(self._stopped),
        )

    def _place(self, similarities: np.ndarray, best: int) -> int:
        """Return the cluster to join; one past the last means a new one."""
        count = len(self._clusters)
        if count and similarities[best] > self.config.tau:
            return best
        if count < self.config.max_clusters or self.config.overflow == "keep_alone":
            return count
        return best if self.config.overflow == "join_best" else STOPPED

    def _similarities(self, trace: int) -> np.ndarray:
        """Return sim(trace, cluster) for every cluster: (clusters,)."""
        if not self._clusters:
            return np.zeros(0)
        self._drawn = [self._representatives(i) for i in range(len(self._clusters))]
        pairs = [
            (trace, cluster[position])
            for cluster, positions in zip(self._clusters, self._drawn, strict=True)
            for position in positions
        ]
        scores = np.asarray(self._score(pairs), dtype=np.float64)
        if scores.shape != (len(pairs),) or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(
                f"expected {len(pairs)} scores in [0, 1] from the judge, got shape {scores.shape}"
            )
        self._asked.append(np.array(pairs, np.int32))
        if self.config.similarity == "vote":
            scores = (scores > 0.5).astype(np.float64)
        sizes = np.array([len(members) for members in self._drawn])
        starts = np.cumsum(sizes) - sizes
        self._scores = scores
        means: np.ndarray = np.add.reduceat(scores, starts) / sizes
        return means.round(TIE_DIGITS)  # the order of a sum decides no tie

    def _representatives(self, place: int) -> list[int]:
        """Return the positions of p <= K1 members of a cluster, in arrival order."""
        count, size = self.config.max_representatives, len(self._clusters[place])
        if self.config.choice == "medoid":
            return self._central[place].first(count)
        if size <= count or self.config.choice == "first":
            return list(range(min(size, count)))
        return sorted(self._rng.choice(size, count, replace=False).tolist())


def greedy_cluster(
    order: Sequence[int], score: ScorePairs, config: ClusteringConfig, rng: np.random.Generator
) -> Clustering:
    """Return the greedy clustering of traces that arrive in ``order``."""
    clusterer = GreedyClusterer(score, config, rng)
    for trace in order:
        clusterer.add(trace)
    return clusterer.result()
