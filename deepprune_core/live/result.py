"""What an online question gives: the answer, who voted, what became of every trace, the costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from deepprune_core.answers import UNGRADABLE, partition
from deepprune_core.ledger import Ledger, TraceState
from deepprune_core.traces import Question
from deepprune_core.voting import Vote

EventKind = Literal["started", "reached", "joined", "opened", "finished", "failed", "decided"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a trace, ``seconds`` after the question was asked.

    ``reached``: its truncation point; ``joined`` or ``opened``: a cluster, with the best
    similarity it met; ``decided``: the vote cannot change any more (``trace`` is -1).
    """

    kind: EventKind
    trace: int
    seconds: float
    tokens: int = 0
    cluster: int | None = None
    score: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class TraceOutcome:
    """One trace as it ended.

    ``state``: finished, pruned, ...; ``tokens``: generated until then; ``cluster``: where it was
    placed; ``representative``: the trace that stands for it, ``score``: the similarity that put
    it there; ``detail``: why it failed.
    """

    trace: int
    state: TraceState
    tokens: int
    text: str
    answer: str | None = None
    cluster: int | None = None
    representative: int | None = None
    score: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Ballot:
    """One answer's votes: their weight and the traces that cast them."""

    answer: str
    weight: float
    traces: tuple[int, ...]


def count_votes(
    vote: Vote, voters: Sequence[int], classes: np.ndarray, answers: Mapping[int, str | None]
) -> tuple[str | None, tuple[Ballot, ...]]:
    """Return the winning answer (None: nobody could vote) and all ballots, heaviest first.

    ``classes``: (voters,) the class of each voter's answer; an answer is spelled as its first
    voter spells it.
    """
    spelling: dict[int, str] = {}
    traces: dict[int, list[int]] = {}
    for trace, name in zip(voters, classes.tolist(), strict=True):
        spelling.setdefault(name, str(answers[trace]))
        traces.setdefault(name, []).append(trace)
    ballots = tuple(
        Ballot(spelling[name], weight, tuple(traces[name]))
        for name, weight in sorted(vote.weights, key=lambda pair: -pair[1])
    )
    return (None if vote.winner == UNGRADABLE else spelling[vote.winner]), ballots


def ledger_of(traces: Sequence[TraceOutcome], judge: int = 0, judge_calls: int = 0) -> Ledger:
    """Return the tokens of traces as they ended, and what the judge read for them."""
    kept = sum(t.tokens for t in traces if t.state is TraceState.FINISHED)
    total = sum(t.tokens for t in traces)
    return Ledger(kept=kept, pruned=total - kept, judge=judge, judge_calls=judge_calls)


@dataclass(frozen=True)
class PrunedAnswer:
    """The result of one question.

    ``answer`` is None if no finished trace gave one. ``clusters``: members in order of arrival,
    the first stands for the others. ``seconds`` and ``judge_seconds``: wall time of the question
    and of the judge within it. ``engine_tokens``: generated tokens by the engine's own counter,
    which also counts other users of the engine. ``decided_early``: traces were stopped because
    the vote could not change.
    """

    question: str
    answer: str | None
    ballots: tuple[Ballot, ...]
    clusters: tuple[tuple[int, ...], ...]
    traces: tuple[TraceOutcome, ...]
    ledger: Ledger
    seconds: float
    judge_seconds: float
    engine_tokens: int
    decided_early: bool

    @property
    def failures(self) -> tuple[TraceOutcome, ...]:
        """The traces that an engine's fault ended."""
        return tuple(t for t in self.traces if t.state is TraceState.FAILED)

    @property
    def finished(self) -> tuple[TraceOutcome, ...]:
        """The traces that ran to their end."""
        return tuple(t for t in self.traces if t.state is TraceState.FINISHED)

    @property
    def after_abort(self) -> int:
        """Tokens that the engine counted beyond those that were handed out."""
        return self.engine_tokens - self.ledger.generated

    def right(self, question: Question) -> bool:
        """Return whether the answer is the question's own right one, which must be known."""
        found, gold = partition([self.answer, question.gold])
        return bool(found == gold != UNGRADABLE)

    @property
    def expected_baseline(self) -> float:
        """Tokens that all traces in full would take, if they were as long as the finished ones.

        An estimate: what was stopped has no known length. NaN if nothing finished.
        """
        lengths = [t.tokens for t in self.finished]
        return float(np.mean(lengths)) * len(self.traces) if lengths else float("nan")

    def saved(self, judge_cost: float = 0.0) -> float:
        """Return the expected share of tokens saved; 0 counts none of the judge's tokens.

        NaN if nothing finished, or finished without a token.
        """
        spent = self.ledger.generated + judge_cost * self.ledger.judge
        expected = self.expected_baseline
        return 1 - spent / expected if expected else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, ready for JSON."""
        found = asdict(self)
        found["ledger"] |= {"generated": self.ledger.generated}
        expected = self.expected_baseline
        found["expected"] = {
            "baseline": None if np.isnan(expected) else round(expected),
            "saved_gross": _rounded(self.saved()),
            "saved_net": _rounded(self.saved(1.0)),
        }
        return found

    def to_json(self, indent: int | None = 1) -> str:
        """Return all of it as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)


def _rounded(share: float) -> float | None:
    """Return a share to four digits; None for NaN, which JSON does not know."""
    return None if np.isnan(share) else round(share, 4)
