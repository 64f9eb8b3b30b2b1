"""Pruning replayed on a file of traces: what each way to vote costs and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from deepprune_core.answers import UNGRADABLE, GradedQuestion
from deepprune_core.judging.inputs import Judge, pair_tokens, reading_tokens
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


@dataclass(frozen=True)
class MethodTotals:
    """One method over all questions, means over orders of arrival.

    ``generated``: tokens; ``saved``, ``saved_net``: shares of the tokens of all traces, without
    and with the judge's; ``agrees``: share of votes with the answer of all traces, of questions
    where any trace has one; ``right``: share of right votes, of questions whose answer is known.
    Both are None where there is no such question, and where no trace has an answer.
    """

    method: str
    generated: float
    saved: float
    saved_net: float
    agrees: float | None
    right: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the totals as plain data."""
        return asdict(self)


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
) -> list[MethodTotals]:
    """Return the plain vote and every rule, replayed in ``orders`` random orders of arrival.

    In each order the plain vote is cast too: of equal answers the first to arrive wins in both.
    """
    spent: dict[str, list[tuple[float, float, float, float]]] = {
        name: [] for name in ("all traces", *rules)
    }
    groups = list(zip(traces.questions, traces.traces, graded, strict=True))
    for question, group, grades in tqdm(groups, desc="questions", delay=5):
        if not group:
            continue
        cuts = [truncation.cut(trace.text, tokenizer) for trace in group]
        texts = [cut.text for cut in cuts]
        ((scores, cost),) = judged_pairs(judge, [(question.text, texts)])
        once = reading_tokens(judge, question.text, texts)
        stored = assemble(question, group, grades, cuts, scores, cost, once)
        total = float(stored.num_tokens.sum())
        gold = grades.gold_class
        for _ in range(orders):
            order = rng.permutation(len(group)).tolist()
            everyone = majority(grades.classes[order]).winner
            spent["all traces"].append(
                (total, 0, _known(everyone, True), _known(gold, everyone == gold))
            )
            for name, rule in rules.items():
                found = replay(stored, order, rule, rng)
                agrees = _known(everyone, found.vote.winner == everyone)
                ledger = found.ledger
                spent[name].append(
                    (ledger.generated, ledger.judge, agrees, _known(gold, found.right))
                )
    whole = sum(row[0] for row in spent["all traces"]) / orders
    return [_totals(name, rows, whole, orders) for name, rows in spent.items()]


def _known(answer: int, verdict: bool) -> float:
    """Return a verdict as a number; NaN where there is no answer to compare with."""
    return float("nan") if answer == UNGRADABLE else float(verdict)


def _totals(
    name: str, rows: Sequence[tuple[float, float, float, float]], whole: float, orders: int
) -> MethodTotals:
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    generated, judge = (float(tokens) for tokens in table[:, :2].sum(axis=0) / orders)
    saved, net = (1 - spent / whole if whole else 0.0 for spent in (generated, generated + judge))
    agrees = _mean(table[:, 2])  # None: no trace has an answer, so none is wrong either
    right = None if agrees is None else _mean(table[:, 3])
    return MethodTotals(name, generated, saved, net, agrees, right)


def _mean(verdicts: np.ndarray) -> float | None:
    """Return the mean of what is known, None if nothing is."""
    known = verdicts[~np.isnan(verdicts)]
    return float(known.mean()) if len(known) else None
