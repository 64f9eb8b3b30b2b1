"""The vote while it is still open: what has been cast, what may still come, is it decided?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.answers import UNGRADABLE, extract_answer, partition
from deepprune_core.clustering import STOPPED
from deepprune_core.pruner import PruningConfig


class Tally:
    """Weights of the answers given so far, and of those that can still be given.

    Every trace brings one vote under ``cluster_weighted``: it counts for the trace that stands
    for its cluster. Otherwise only traces that finish have one.
    """

    def __init__(self, config: PruningConfig, num_traces: int) -> None:
        self.config, self.num_traces = config, num_traces
        self.answers: dict[int, str | None] = {}
        self._clusters: list[list[int]] = []
        self._cluster_of: dict[int, int] = {}
        self._given_up: set[int] = set()
        self._chosen: set[int] | None = None

    def place(self, trace: int, cluster: int, opened: bool) -> None:
        """Take note of a trace's cluster."""
        self._cluster_of[trace] = cluster
        if opened:
            self._clusters.append([])
        if cluster != STOPPED:
            self._clusters[cluster].append(trace)

    def choose(self, traces: Sequence[int]) -> None:
        """Take note of who may finish under the paper's rule."""
        self._chosen = set(traces)

    def finish(self, trace: int, text: str) -> None:
        """Take a finished trace's answer from its text."""
        self.answers[trace] = extract_answer(text)

    def give_up(self, trace: int) -> None:
        """Expect nothing more of a trace."""
        self._given_up.add(trace)

    @property
    def decided(self) -> bool:
        """Whether the leader wins whatever the others answer; False while there is none."""
        if not self.answers:
            return False
        first, second, *_ = (*sorted(self._cast(), reverse=True), 0.0, 0.0)
        return first - second > self._open_weight()

    def _cast(self) -> list[float]:
        """Return the weight of every answer given so far."""
        traces = sorted(self.answers)
        classes = partition([self.answers[t] for t in traces])
        weights = np.array([self._weight(trace) for trace in traces])
        return [float(weights[classes == c].sum()) for c in set(classes.tolist()) - {UNGRADABLE}]

    def _weight(self, trace: int) -> float:
        if self.config.vote != "cluster_weighted":
            return 1.0
        own = self._own(trace)
        finishers = [t for t in own if self._may_finish(t)]
        return len(own) / max(1, len(finishers))

    def _own(self, trace: int) -> list[int]:
        """Return a placed trace's cluster; nothing if it was dropped."""
        cluster = self._cluster_of[trace]
        return [] if cluster == STOPPED else self._clusters[cluster]

    def _may_finish(self, trace: int) -> bool:
        if self.config.finish == "survivors":
            return self._own(trace)[:1] == [trace]
        return self._chosen is None or trace in self._chosen

    def _open_weight(self) -> float:
        """Return the most that traces still out can add to one answer, or take from another.

        A trace that is not placed yet may open a cluster, or join one whose answer is known.
        """
        placed = self._cluster_of.keys()
        unplaced = self.num_traces - len(placed | self._given_up)
        running = [t for t in placed - self.answers.keys() - self._given_up if self._may_finish(t)]
        return unplaced + sum(self._weight(trace) for trace in running)
