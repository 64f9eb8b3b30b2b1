"""Pruning replayed in many orders and under many rules, without doing anything twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from deepprune_core.ledger import Ledger
from deepprune_core.pruner import (
    Clustered,
    Outcome,
    PruningConfig,
    StoredQuestion,
    cluster_stored,
    finish_stored,
)
from deepprune_core.voting import majority
from replication.online import Play
from replication.run import Run

Result = TypeVar("Result")


class Replays:
    """Replays of stored questions that share what they have in common.

    Rules that differ only in who finishes and votes cluster alike, so a clustering is made once
    and kept without its list of pairs; the random stream goes on where it left off.
    """

    def __init__(self, questions: Sequence[StoredQuestion]) -> None:
        self.questions = questions
        self._known: dict[tuple[object, ...], tuple[Clustered, Mapping[str, Any]]] = {}

    def play(
        self, j: int, order: np.ndarray, config: PruningConfig, rng: np.random.Generator
    ) -> Outcome:
        """Return what :func:`replay` returns, but for the pairs that were asked."""
        question, arriving = self.questions[j], order.tolist()
        start = rng.bit_generator.state["state"]["state"]
        key = (config.clustering, j, order.tobytes(), start)
        if key in self._known:
            clustered, state = self._known[key]
            rng.bit_generator.state = state
        else:
            found = cluster_stored(question, arriving, config.clustering, rng)
            none = found.clustering.asked[:0].copy()  # a view would keep all of them
            clustered = replace(found, clustering=replace(found.clustering, asked=none))
            self._known[key] = (clustered, rng.bit_generator.state)
        return finish_stored(question, arriving, clustered, config, rng)


def play_pruning(
    questions: Sequence[StoredQuestion], config: PruningConfig, replays: Replays | None = None
) -> Play:
    """Return DeepPrune as a play; ``replays`` of the same questions are shared among plays."""
    shared = replays or Replays(questions)

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        question = questions[j]
        outcome = shared.play(j, order, config, rng)
        finished = question.classes[list(outcome.finished)]
        return outcome.right, outcome.ledger, bool((finished == question.gold_class).any())

    return play


def play_random(
    questions: Sequence[StoredQuestion], config: PruningConfig, replays: Replays | None = None
) -> Play:
    """Return random pruning: as many traces finish as under ``config``, drawn by chance."""
    shared = replays or Replays(questions)

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        question = questions[j]
        count = len(shared.play(j, order, config, rng).finished)
        ended = np.isin(np.arange(len(order)), rng.permutation(len(order))[:count])
        voting = order[ended[order]]
        ledger = Ledger(
            kept=int(question.num_tokens[ended].sum()),
            pruned=int(question.prefix_tokens[~ended].sum()),
            baseline=int(question.num_tokens.sum()),
        )
        right = majority(question.classes[voting]).winner == question.gold_class
        return right, ledger, bool((question.classes[voting] == question.gold_class).any())

    return play


def for_each(run: Run, function: Callable[..., Result], *items: Sequence[Any]) -> list[Result]:
    """Return ``function(run, *one)`` for the items taken together, on all cores.

    The processes get a run of their own, without what this one has loaded.
    """
    from joblib import Parallel, delayed

    bare = Run(run.profile, run.out, run.work)
    jobs = min(os.cpu_count() or 1, len(items[0]))
    work = (delayed(function)(bare, *one) for one in zip(*items, strict=True))
    return list(Parallel(n_jobs=jobs)(work))
