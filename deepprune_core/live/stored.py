"""Pruning replayed on a file of traces: what each way to vote costs and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from deepprune_core.answers import UNGRADABLE, GradedQuestion
from deepprune_core.judging.inputs import Judge, pair_tokens, reading_tokens
from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.peers.self_consistency import MajorityCurve, majority_curve, matched
from deepprune_core.peers.stopping import adaptive_consistency
from deepprune_core.pruner import (
    PruningConfig,
    StoredQuestion,
    pair_inputs,
    replay,
    symmetric_matrix,
)
from deepprune_core.traces import Question, Trace, TraceSet
from deepprune_core.truncation import Prefix, Tokenizer, Truncation
from deepprune_core.voting import majority

ALL, ADAPTIVE = "all traces", "adaptive consistency"
CONTROL_DRAWS = 100


@dataclass(frozen=True)
class Outcomes:
    """One method on every question, means over orders of arrival; arrays are ``(questions,)``.

    ``generated``: tokens; ``judge``: the judge's tokens at their price; ``whole``: tokens of all
    traces. ``agrees``: share of votes with the answer of all traces; ``right``: share of right
    votes. Both are NaN where that is not known.
    """

    method: str
    generated: np.ndarray
    judge: np.ndarray
    whole: np.ndarray
    agrees: np.ndarray
    right: np.ndarray

    @property
    def tokens(self) -> float:
        """Generated tokens over all questions."""
        return float(self.generated.sum())

    @property
    def saved(self) -> float:
        """Share of all traces' tokens that was not generated."""
        return self._saved(self.generated)

    @property
    def saved_net(self) -> float:
        """The same with the judge's tokens counted at their price."""
        return self._saved(self.generated + self.judge)

    @property
    def agreement(self) -> Interval | None:
        """Share of votes with the answer of all traces; None where no trace has an answer."""
        return _mean(self.agrees)

    @property
    def accuracy(self) -> Interval | None:
        """Share of right votes; None where no right answer, or none at all, is known."""
        return None if np.isnan(self.agrees).all() else _mean(self.right)

    def to_dict(self) -> dict[str, Any]:
        """Return the totals as plain data; ``_95`` are intervals from resampling questions."""
        found: dict[str, Any] = {
            "method": self.method, "generated": self.tokens, "saved": self.saved,
            "saved_net": self.saved_net,
        }  # fmt: skip
        for name, value in (("agrees", self.agreement), ("right", self.accuracy)):
            found[name] = None if value is None else value.value
            found[f"{name}_95"] = None if value is None else [value.low, value.high]
        return found

    def _saved(self, spent: np.ndarray) -> float:
        whole = float(self.whole.sum())
        return 1 - float(spent.sum()) / whole if whole else 0.0


def _mean(values: np.ndarray) -> Interval | None:
    """Return the mean of what is known with its interval over questions, None if nothing is."""
    if np.isnan(values).all():
        return None
    return bootstrap_mean(values, rng=np.random.default_rng(0))


def assemble(
    question: Question,
    traces: Sequence[Trace],
    graded: GradedQuestion,
    cuts: Sequence[Prefix],
    scores: np.ndarray,
    judge_tokens: np.ndarray,
    encode_tokens: np.ndarray | None = None,
) -> StoredQuestion:
    """Return a question for the replay; ``scores`` and ``judge_tokens``: (traces, traces).

    ``encode_tokens``: see :class:`StoredQuestion`.
    """
    return StoredQuestion(
        question_id=question.question_id,
        gold_class=graded.gold_class,
        classes=graded.classes,
        num_tokens=np.array([t.num_tokens for t in traces]),
        prefix_tokens=np.array(
            [math.ceil(c.fraction * t.num_tokens) for c, t in zip(cuts, traces, strict=True)]
        ),
        scores=scores,
        judge_tokens=judge_tokens,
        encode_tokens=encode_tokens,
    )


def judged_pairs(
    judge: Judge, groups: Sequence[tuple[str, Sequence[str]]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (scores, prompt tokens) among the prefixes of every (question, prefixes)."""
    if not groups:
        return []
    pairs = [pair_inputs(question, prefixes) for question, prefixes in groups]
    inputs = [pair for _, group in pairs for pair in group]
    scores, tokens = judge.score(inputs), pair_tokens(judge, inputs)
    ends = np.cumsum([len(group) for _, group in pairs])[:-1]
    return [
        (symmetric_matrix(len(texts), rows, part), symmetric_matrix(len(texts), rows, cost))
        for (_, texts), (rows, _), part, cost in zip(
            groups, pairs, np.split(scores, ends), np.split(tokens, ends), strict=True
        )
    ]


def compare_on_stored(
    traces: TraceSet,
    graded: Sequence[GradedQuestion],
    judge: Judge,
    truncation: Truncation,
    tokenizer: Tokenizer,
    rules: dict[str, PruningConfig],
    *,
    orders: int,
    rng: np.random.Generator,
    judge_cost: float = 1.0,
) -> list[Outcomes]:
    """Return the plain vote, every rule and its peers, in ``orders`` random orders of arrival.

    In each order the plain vote is cast too: of equal answers the first to arrive wins in both.
    ``judge_cost``: price of a judge's token in generated ones. Behind the rules stand adaptive
    consistency, and for each rule a plain vote of random traces that costs the same net tokens.
    """
    spent: dict[str, list[list[tuple[float, float, float, float]]]] = {
        name: [] for name in (ALL, *rules, ADAPTIVE)
    }
    wholes, curves = [], []
    groups = list(zip(traces.questions, traces.traces, graded, strict=True))
    for question, group, grades in tqdm(groups, desc="questions", delay=5, disable=None):
        if not group:
            continue
        cuts = [truncation.cut(trace.text, tokenizer) for trace in group]
        texts = [cut.text for cut in cuts]
        ((scores, cost),) = judged_pairs(judge, [(question.text, texts)])
        once = reading_tokens(judge, question.text, texts)
        stored = assemble(question, group, grades, cuts, scores, cost, once)
        total, gold = float(stored.num_tokens.sum()), grades.gold_class
        wholes.append(total)
        told: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in spent}
        for _ in range(orders):
            order = rng.permutation(len(group)).tolist()
            everyone = majority(grades.classes[order]).winner

            told[ALL].append((total, 0, *_told(everyone, everyone, gold, everyone == gold)))
            for name, rule in rules.items():
                found = replay(stored, order, rule, rng)
                ledger = found.ledger
                told[name].append((
                    ledger.generated, judge_cost * ledger.judge,
                    *_told(found.vote.winner, everyone, gold, found.right),
                ))  # fmt: skip
            peer = adaptive_consistency(grades.classes, stored.num_tokens, gold, order)
            told[ADAPTIVE].append((
                peer.ledger.generated, 0, *_told(peer.vote.winner, everyone, gold, peer.right)
            ))  # fmt: skip
        for name, rows in told.items():
            spent[name].append(rows)
        curves.append(_plain_votes(stored, rng))
    whole = np.array(wholes)
    every = {name: _outcomes(name, rows, orders, whole) for name, rows in spent.items()}
    return [*every.values(), *(_control(every[name], curves) for name in rules)]


def _plain_votes(
    stored: StoredQuestion, rng: np.random.Generator
) -> tuple[MajorityCurve, MajorityCurve]:
    """Return how often k random traces vote as all do, and how often they are right."""
    seed = int(rng.integers(2**32))  # one seed: both are votes of the same traces

    def curve(target: int) -> MajorityCurve:
        again = np.random.default_rng(seed)
        return majority_curve(
            stored.classes, stored.num_tokens, target, draws=CONTROL_DRAWS, rng=again
        )

    return curve(majority(stored.classes).winner), curve(stored.gold_class)


def _control(rule: Outcomes, curves: Sequence[tuple[MajorityCurve, MajorityCurve]]) -> Outcomes:
    """Return the plain vote that costs what a rule costs, question by question."""
    budget = np.minimum(rule.generated + rule.judge, rule.whole)
    values = np.array([
        [matched(curve, np.array([tokens]))[0][0] for curve in pair]
        for pair, tokens in zip(curves, budget, strict=True)
    ]).reshape(-1, 2)  # fmt: skip
    agrees, right = (
        np.where(np.isnan(known), np.nan, value)
        for known, value in zip((rule.agrees, rule.right), values.T, strict=True)
    )
    name = f"plain, cost of {rule.method}"
    return Outcomes(name, budget, np.zeros_like(budget), rule.whole, agrees, right)


def _told(winner: int, everyone: int, gold: int, right: bool) -> tuple[float, float]:
    """Return whether a vote agrees with that of all traces, and whether it is right."""
    return _known(everyone, winner == everyone), _known(gold, right)


def _known(answer: int, verdict: bool) -> float:
    """Return a verdict as a number; NaN where there is no answer to compare with."""
    return float("nan") if answer == UNGRADABLE else float(verdict)


def _outcomes(
    name: str,
    rows: Sequence[Sequence[tuple[float, float, float, float]]],
    orders: int,
    whole: np.ndarray,
) -> Outcomes:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), orders, 4).mean(axis=1)
    generated, judge, agrees, right = table.T
    return Outcomes(name, generated, judge, whole, agrees, right)
