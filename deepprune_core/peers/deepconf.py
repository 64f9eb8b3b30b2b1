"""DeepConf online (Fu et al. 2025, arXiv 2508.15260, sections 3.1, 3.3 and algorithm 2), replayed.

A warm-up of full traces sets a threshold on their lowest group confidence; every later trace
stops as soon as its own group confidence falls under it. Traces that ran to their end vote,
weighted by confidence; sampling ends early once the leading answer's share is large enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.ledger import Ledger
from deepprune_core.voting import Vote, weighted


@dataclass(frozen=True)
class DeepConfConfig:
    """``keep_percent``: eta, the share of warm-up traces whose lowest group confidence passes
    the threshold (DeepConf-low 10, DeepConf-high 90). ``window``: tokens in a group (paper:
    2048, of traces of some 10^4 tokens). ``consensus``: weight share that ends sampling (paper:
    0.95).
    """

    keep_percent: float
    warmup: int = 16
    window: int = 2048
    consensus: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.keep_percent < 100 or self.warmup < 1 or self.window < 1:
            raise ValueError(f"expected 0 < keep_percent < 100, warmup and window >= 1, got {self}")

    def threshold(self, lowest: Sequence[float] | np.ndarray) -> float:
        """Return what ``keep_percent`` of the warm-up traces' lowest group confidences reach."""
        return float(np.percentile(lowest, 100 - self.keep_percent))


@dataclass(frozen=True)
class DeepConfOutcome:
    """``finished``: traces that voted, in arrival order; ``stopped``: traces that were cut."""

    finished: tuple[int, ...]
    stopped: tuple[int, ...]
    vote: Vote
    ledger: Ledger
    right: bool


def group_confidence(confidences: np.ndarray, window: int) -> np.ndarray:
    """Return the mean confidence of each full window of tokens: ``(n - window + 1,)``.

    A trace shorter than the window has one group: all of its tokens.

    >>> group_confidence(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [2.0, 4.0]
    """
    values = np.asarray(confidences, dtype=np.float64)
    if len(values) <= window:
        return np.array([values.mean()]) if len(values) else np.zeros(1)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[window:] - total[:-window]) / window


def stop_at(groups: np.ndarray, threshold: float, window: int, num_tokens: int) -> int | None:
    """Return after how many tokens a trace is stopped, or None if it never is.

    A trace shorter than the window never fills one, so it cannot be stopped.
    """
    if num_tokens < window:
        return None
    below = np.flatnonzero(groups < threshold)
    return int(below[0]) + window if len(below) else None


@dataclass(frozen=True)
class ConfidentTraces:
    """One question's n traces: group confidences per trace, lengths and answer classes."""

    groups: tuple[np.ndarray, ...]
    num_tokens: np.ndarray
    classes: np.ndarray
    gold_class: int
    window: int

    @property
    def lowest(self) -> np.ndarray:
        """Lowest group confidence of each trace: (n,)."""
        return np.array([group.min() for group in self.groups])


def prepare(
    confidences: Sequence[np.ndarray], classes: np.ndarray, gold_class: int, window: int
) -> ConfidentTraces:
    """Return one question's traces with their sliding means computed once."""
    groups = tuple(group_confidence(values, window) for values in confidences)
    lengths = np.array([len(values) for values in confidences])
    return ConfidentTraces(groups, lengths, np.asarray(classes), gold_class, window)


def deepconf(
    traces: ConfidentTraces, order: Sequence[int], config: DeepConfConfig
) -> DeepConfOutcome:
    """Return the outcome for traces arriving in ``order``; the baseline is all of ``order``.

    Each finished trace votes with its lowest group confidence. A stopped trace is paid up to
    its stop and does not vote; a warm-up trace under the threshold does not vote either.
    """
    warm, rest = list(order[: config.warmup]), list(order[config.warmup :])
    lowest = traces.lowest
    threshold = config.threshold(lowest[warm])
    voters = [t for t in warm if lowest[t] >= threshold]
    kept, pruned, stopped = int(traces.num_tokens[warm].sum()), 0, []
    vote = weighted(traces.classes[voters], lowest[voters])
    for trace in rest:
        if vote.weights and vote.share >= config.consensus:
            break
        length = int(traces.num_tokens[trace])
        cut = stop_at(traces.groups[trace], threshold, config.window, length)
        if cut is not None:
            pruned += cut
            stopped.append(trace)
            continue
        kept += length
        voters.append(trace)
        vote = weighted(traces.classes[voters], lowest[voters])
    ledger = Ledger(kept, pruned, baseline=int(traces.num_tokens[list(order)].sum()))
    right = vote.winner == traces.gold_class
    return DeepConfOutcome(tuple(voters), tuple(stopped), vote, ledger, right)
