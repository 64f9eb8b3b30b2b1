"""Peers that stop asking: adaptive consistency and early-stopping self-consistency, replayed.

Both take whole traces one after the other (or window by window) and stop once more of them
are unlikely to change the vote. Nothing is pruned within a trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.answers import UNGRADABLE
from deepprune_core.ledger import Ledger
from deepprune_core.voting import Vote, weighted


@dataclass(frozen=True)
class StoppedVote:
    """``finished``: the traces that were asked for, in order; all of them vote."""

    finished: tuple[int, ...]
    vote: Vote
    ledger: Ledger
    right: bool


def probability_of_lead(first: float, second: float) -> float:
    """Return P(the leading answer beats the runner-up in the long run), given their votes.

    With a flat prior the leader's share among the two is Beta(first + 1, second + 1); this is
    its mass above one half (Aggarwal et al. 2023, arXiv 2305.11860, section 3), in closed form.

    >>> probability_of_lead(1, 0), probability_of_lead(4, 4)
    (0.75, 0.5)
    """
    from scipy.stats import beta

    return float(beta.sf(0.5, first + 1, second + 1))


def votes_to_decide(first: float, second: float, confidence: float) -> int:
    """Return how many more votes for the leader make its lead sure, if no other answer comes.

    >>> votes_to_decide(0, 0, 0.95), votes_to_decide(3, 1, 0.95)
    (4, 3)
    """
    more = 1
    while probability_of_lead(first + more, second) <= confidence:
        more += 1
    return more


def leading_counts(counts: Iterable[float]) -> tuple[float, float]:
    """Return the largest two of some answers' votes; 0 stands for what is not there.

    >>> leading_counts([1, 4, 2]), leading_counts([3])
    ((4, 2), (3, 0))
    """
    first, second = (*sorted(counts, reverse=True), 0, 0)[:2]
    return first, second


def adaptive_consistency(
    classes: np.ndarray,
    num_tokens: np.ndarray,
    gold_class: int,
    order: Sequence[int],
    *,
    confidence: float = 0.95,
    weights: np.ndarray | None = None,
) -> StoppedVote:
    """Return the vote that stops once the leader is ahead with probability ``confidence``.

    ``classes``, ``num_tokens``: (n,), one a trace; ``weights``: (n,), how many votes a trace is
    worth (default: one). Ungradable traces cost but do not count.
    """
    worth = np.ones(len(classes)) if weights is None else weights
    counts: dict[int, float] = {}
    asked = 0
    for trace in order:
        asked += 1
        if classes[trace] != UNGRADABLE:
            name = int(classes[trace])
            counts[name] = counts.get(name, 0.0) + float(worth[trace])
        if probability_of_lead(*leading_counts(counts.values())) > confidence:
            break
    return stopped_vote(classes, num_tokens, gold_class, order, asked, worth)


def early_stopping(
    classes: np.ndarray,
    num_tokens: np.ndarray,
    gold_class: int,
    order: Sequence[int],
    *,
    window: int = 5,
) -> StoppedVote:
    """Return the vote that stops after the first window of traces that all agree.

    Early-stopping self-consistency (Li et al. 2024, arXiv 2401.10480): windows follow one
    another without overlap; a window with an ungradable trace does not agree.
    """
    if window < 1:
        raise ValueError(f"expected a window of at least 1 trace, got {window}")
    asked = 0
    while asked < len(order):
        part = {int(classes[t]) for t in order[asked : asked + window]}
        full = asked + window <= len(order)
        asked = min(asked + window, len(order))
        if full and len(part) == 1 and UNGRADABLE not in part:
            break
    return stopped_vote(classes, num_tokens, gold_class, order, asked)


def stopped_vote(
    classes: np.ndarray,
    num_tokens: np.ndarray,
    gold_class: int,
    order: Sequence[int],
    asked: int,
    weights: np.ndarray | None = None,
) -> StoppedVote:
    """Return the vote of the first ``asked`` traces; ``weights``: (n,), of each vote."""
    rows = list(order[:asked])
    vote = weighted(classes[rows], np.ones(asked) if weights is None else weights[rows])
    ledger = Ledger(kept=int(num_tokens[rows].sum()), baseline=int(num_tokens[list(order)].sum()))
    return StoppedVote(tuple(rows), vote, ledger, vote.winner == gold_class)
