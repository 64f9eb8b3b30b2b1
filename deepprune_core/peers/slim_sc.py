"""Slim-SC (arXiv 2509.13990), replayed: the same idea as DeepPrune's, without training.

All traces run at once. At intervals each thought that has just ended is compared with those of
the other traces; where the most similar one is more similar than a threshold, one of the two
traces stops, drawn at random. The others finish and vote. The paper's warm-up, interval and full
list of pivots could not be found, so these are settings, and ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.ledger import Ledger
from deepprune_core.voting import Vote, majority

_BOUNDARY = re.compile(r"\n\s*\n|(?=\b(?:Alternatively|Another|Wait)\b)")


@dataclass(frozen=True)
class SlimConfig:
    """``tau``: similarity beyond which two thoughts are one (paper: 0.95); ``interval``: tokens
    between comparisons, the first after ``warmup``.
    """

    tau: float = 0.95
    warmup: int = 64
    interval: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1 or self.warmup < 0 or self.interval < 1:
            raise ValueError(f"expected tau in [0, 1], warmup >= 0, interval >= 1, got {self}")


def thoughts(text: str) -> list[tuple[str, int]]:
    """Return a trace's thoughts, each with the character at which it ends.

    A thought ends at an empty line, or before *Alternatively*, *Another* or *Wait*.

    >>> thoughts("Add two.\\n\\nSo 4. Wait, no.")
    [('Add two.', 8), ('So 4.', 16), ('Wait, no.', 25)]
    """
    found, start = [], 0
    for boundary in [m.span() for m in _BOUNDARY.finditer(text)] + [(len(text), len(text))]:
        if piece := text[start : boundary[0]].strip():
            found.append((piece, boundary[0]))
        start = boundary[1]
    return found


@dataclass(frozen=True)
class ThinkingTraces:
    """One question's n traces and their m thoughts.

    ``owner``: (m,) whose thought it is; ``start`` and ``end``: (m,) the tokens of its trace
    between which it stands; ``similar``: (m, m) cosines; ``num_tokens`` and ``classes``: (n,).
    """

    owner: np.ndarray
    start: np.ndarray
    end: np.ndarray
    similar: np.ndarray
    num_tokens: np.ndarray
    classes: np.ndarray
    gold_class: int


@dataclass(frozen=True)
class SlimOutcome:
    """``finished``: traces that voted, in arrival order; ``stopped``: when each other one ended."""

    finished: tuple[int, ...]
    stopped: dict[int, int]
    vote: Vote
    ledger: Ledger
    right: bool


def slim_sc(
    traces: ThinkingTraces, order: Sequence[int], config: SlimConfig, rng: np.random.Generator
) -> SlimOutcome:
    """Return the outcome for traces that start together; ``order`` settles whose turn is first.

    A trace that has ended keeps its vote and is compared with, and cannot be stopped. The judge's
    tokens are those of all thoughts that were compared or could have been, each read once.
    """
    stopped: dict[int, int] = {}
    lengths, read, calls, before = traces.num_tokens, 0, 0, 0
    turn = {trace: i for i, trace in enumerate(order)}
    for now in range(max(config.warmup, 1), int(lengths[list(order)].max()), config.interval):
        there = np.flatnonzero(traces.end <= now)
        there = there[[int(t) in turn for t in traces.owner[there]]]
        new = [m for m in there if traces.end[m] > before and not _gone(m, traces, stopped)]
        for thought in sorted(new, key=lambda m: (turn[int(traces.owner[m])], traces.end[m])):
            read, calls = read + int(traces.end[thought] - traces.start[thought]), calls + 1
            mine = int(traces.owner[thought])
            others = [
                m for m in there
                if traces.owner[m] != mine and int(traces.owner[m]) not in stopped
            ]  # fmt: skip
            if mine in stopped or not others:
                continue
            nearest = others[int(np.argmax(traces.similar[thought, others]))]
            if traces.similar[thought, nearest] <= config.tau:
                continue
            both = (mine, int(traces.owner[nearest]))
            running = [t for t in both if lengths[t] > now]
            if running:
                stopped[running[int(rng.integers(len(running)))]] = now
        before = now
    finished = tuple(t for t in order if t not in stopped)
    vote = majority(traces.classes[list(finished)])
    ledger = Ledger(
        kept=int(lengths[list(finished)].sum()), pruned=sum(stopped.values()),
        judge=read, judge_calls=calls, baseline=int(lengths[list(order)].sum()),
    )  # fmt: skip
    return SlimOutcome(finished, stopped, vote, ledger, vote.winner == traces.gold_class)


def _gone(thought: int, traces: ThinkingTraces, stopped: dict[int, int]) -> bool:
    """Return whether a thought's trace was stopped before the thought ended."""
    owner = int(traces.owner[thought])
    return owner in stopped and traces.end[thought] > stopped[owner]
