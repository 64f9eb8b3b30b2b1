"""Votes over answer classes.

Ungradable traces never vote. The winner has the greatest weight; among equal weights the
class whose first vote came earliest wins, so every vote has one outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.answers import UNGRADABLE


@dataclass(frozen=True)
class Vote:
    """``winner`` is a class id (UNGRADABLE if nobody could vote); ``weights`` by class."""

    winner: int
    weights: tuple[tuple[int, float], ...]

    @property
    def share(self) -> float:
        """The winner's share of all weight; NaN if nobody voted."""
        total = sum(weight for _, weight in self.weights)
        return dict(self.weights)[self.winner] / total if total else float("nan")


def weighted(classes: Sequence[int] | np.ndarray, weights: Sequence[float] | np.ndarray) -> Vote:
    """Return the vote of traces in arrival order, each with its weight (>= 0, finite).

    >>> weighted([3, 1, 1], [1.0, 0.4, 0.4]).winner
    3
    """
    tally: dict[int, float] = {}
    for name, weight in zip(np.asarray(classes).tolist(), weights, strict=True):
        if not 0 <= weight < float("inf"):
            raise ValueError(f"expected finite weights >= 0, got {weight}")
        if name != UNGRADABLE:
            tally[name] = tally.get(name, 0.0) + float(weight)
    if not tally:
        return Vote(UNGRADABLE, ())
    # max keeps the first of equals, and dicts keep the order of first votes.
    return Vote(max(tally, key=lambda name: tally[name]), tuple(sorted(tally.items())))


def majority(classes: Sequence[int] | np.ndarray) -> Vote:
    """Return the plain majority vote (cons@N).

    >>> majority([2, 0, 0, 2, -1]).winner
    2
    """
    return weighted(classes, np.ones(len(classes)))


Clusters = Sequence[Sequence[int]]


def survivors_finish(clusters: Clusters) -> tuple[int, ...]:
    """Return who finishes under the ``survivors`` rule: each cluster's first trace."""
    return tuple(cluster[0] for cluster in clusters)


def largest_cluster_finish(
    clusters: Clusters, *, k2: int, k3: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return who finishes under the paper's rule (section 3, majority voting).

    The largest cluster (the earliest of equals) lets its first ``min(size, k2)`` members
    finish. If every cluster is a singleton the clustering says nothing: ``k3`` traces drawn
    at random finish instead.
    """
    largest = max(clusters, key=len, default=())
    if len(largest) > 1 or len(clusters) <= 1:
        return tuple(largest[:k2])
    traces = [cluster[0] for cluster in clusters]
    return tuple(sorted(rng.permutation(traces)[:k3].tolist(), key=traces.index))


def cluster_weighted(
    clusters: Clusters, finishing: Sequence[int], classes: Sequence[int] | np.ndarray
) -> Vote:
    """Return the vote of finished traces, each cluster's size shared among its finishers."""
    size: dict[int, float] = {}
    for cluster in clusters:
        finished = [trace for trace in cluster if trace in set(finishing)]
        size.update({trace: len(cluster) / len(finished) for trace in finished})
    order = [trace for trace in finishing if trace in size]
    return weighted([int(classes[t]) for t in order], [size[t] for t in order])
