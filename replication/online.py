"""Tables 2 and 3: pruning, DeepConf and plain votes, replayed over many arrival orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepprune_core.judging.inputs import Judge, reading_tokens
from deepprune_core.judging.pair_data import cut_prefixes
from deepprune_core.judging.pair_scores import PairScores
from deepprune_core.ledger import Ledger
from deepprune_core.live.stored import assemble, judged_pairs
from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.peers.deepconf import DeepConfConfig, deepconf, prepare
from deepprune_core.peers.reasc import calibrate, reasc, trace_confidence
from deepprune_core.peers.self_consistency import MajorityCurve, majority_curve, matched, stack
from deepprune_core.peers.stopping import StoppedVote
from deepprune_core.pruner import StoredQuestion
from deepprune_core.truncation import Tokenizer, Truncation
from deepprune_core.voting import majority
from replication.run import GradedTraces, Run


def stored_questions(
    traces: GradedTraces,
    judge: Judge,
    truncation: Truncation,
    tokenizer: Tokenizer,
    stored: PairScores | None = None,
) -> tuple[StoredQuestion, ...]:
    """Return every question with the scores of all its pairs; unknown ones are judged now."""
    prefixes = cut_prefixes(traces.traces, truncation, tokenizer)
    questions = traces.traces.questions
    found = [
        None if stored is None else stored.get(traces.model, question.question_id, len(group))
        for question, group in zip(questions, prefixes, strict=True)
    ]
    judged = iter(
        judged_pairs(
            judge,
            [
                (question.text, [p.text for p in group])
                for question, group, known in zip(questions, prefixes, found, strict=True)
                if known is None
            ],
        )
    )
    matrices = [next(judged) if known is None else known for known in found]
    return tuple(
        assemble(
            question,
            group,
            graded,
            cut,
            *scored,
            reading_tokens(judge, question.text, [p.text for p in cut]),
        )
        for question, graded, group, cut, scored in zip(
            questions, traces.graded, traces.traces.traces, prefixes, matrices, strict=True
        )
    )


@dataclass(frozen=True)
class Cell:
    """A method on the questions of one reasoner and benchmark, over all arrival orders.

    ``right``: (orders, q) 0 or 1; ``generated`` and ``judge``: (orders, q) tokens;
    ``baseline``: (q,) tokens of all traces; ``kept``: (orders, q) tokens of the traces that
    finished. ``pass_any``: (orders, q) whether some finished trace was right.
    """

    method: str
    model: str
    benchmark: str
    right: np.ndarray
    generated: np.ndarray
    kept: np.ndarray
    judge: np.ndarray
    baseline: np.ndarray
    pass_any: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Generated tokens over the baseline's, per question: (q,)."""
        return self.generated.mean(axis=0) / self.baseline

    def accuracy(self, run: Run) -> Interval:
        """Return the mean accuracy over orders, with an interval over questions."""
        rng = run.rng("accuracy", self.model, self.benchmark)
        return bootstrap_mean(self.right.mean(axis=0), rng=rng, draws=run.profile.bootstrap_draws)

    def total_share(self, run: Run, judge_cost: float | None = None) -> Interval:
        """Return the share of the baseline's tokens spent, with an interval over questions.

        ``judge_cost`` None counts generated tokens only (gross); a number adds the judge's
        prompt tokens at that price (net).
        """
        spent = self.generated.mean(axis=0)
        if judge_cost is not None:
            spent = spent + judge_cost * self.judge.mean(axis=0)
        rng = run.rng("tokens", self.model, self.benchmark)
        n = len(spent)
        rows = rng.integers(0, n, (run.profile.bootstrap_draws, n))
        drawn = spent[rows].sum(axis=1) / self.baseline[rows].sum(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(float(spent.sum() / self.baseline.sum()), float(low), float(high), n)

    @property
    def order_spread(self) -> tuple[float, float]:
        """Lowest and highest benchmark accuracy among the arrival orders."""
        per_order = self.right.mean(axis=1)
        return float(per_order.min()), float(per_order.max())


def select(cell: Cell, questions: np.ndarray, benchmark: str) -> Cell:
    """Return the cell of some questions (mask or indices)."""
    return Cell(
        cell.method, cell.model, benchmark, cell.right[:, questions], cell.generated[:, questions],
        cell.kept[:, questions], cell.judge[:, questions], cell.baseline[questions],
        cell.pass_any[:, questions],
    )  # fmt: skip


Play = Callable[[int, np.ndarray, np.random.Generator], tuple[bool, Ledger, bool]]
"""Plays one question (index) in one arrival order: (vote right, ledger, some finisher right)."""


def play_all(
    run: Run, method: str, traces: GradedTraces, play: Play, *, benchmark: str = "all"
) -> Cell:
    """Return a method's cell over all questions and ``orders`` arrival orders.

    The orders are the same for every method: they depend on seed, model, question and index.
    """
    questions = traces.traces.questions
    count = run.profile.pruning.orders
    right = np.zeros((count, len(questions)))
    ledgers: list[list[Ledger]] = []
    passed = np.zeros_like(right)
    for i in range(count):
        row = []
        for j, question in enumerate(questions):
            rng = run.rng("order", traces.model, question.question_id, i)
            order = rng.permutation(len(traces.traces.traces[j]))
            right[i, j], ledger, passed[i, j] = play(j, order, rng)
            row.append(ledger)
        ledgers.append(row)

    def table(name: str) -> np.ndarray:
        return np.array([[getattr(x, name) for x in row] for row in ledgers], dtype=np.float64)

    baseline = table("baseline")[0]
    return Cell(
        method, traces.model, benchmark, right, table("generated"), table("kept"),
        table("judge"), baseline, passed,
    )  # fmt: skip


def play_consistency(traces: GradedTraces) -> Play:
    """Return cons@N as a play: all traces, majority vote in arrival order."""

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        graded = traces.graded[j]
        total = sum(t.num_tokens for t in traces.traces.traces[j])
        right = majority(graded.classes[order]).winner == graded.gold_class
        some = bool((graded.classes == graded.gold_class).any())
        return right, Ledger(kept=total, baseline=total), some

    return play


def play_deepconf(run: Run, traces: GradedTraces, keep_percent: float) -> Play:
    """Return DeepConf as a play; needs stored token confidences."""
    section = run.profile.deepconf
    config = DeepConfConfig(keep_percent, section.warmup, section.window, section.consensus)
    ready = [
        prepare(
            [t.confidences for t in group if t.confidences is not None],
            graded.classes, graded.gold_class, config.window,
        )
        for group, graded in zip(traces.traces.traces, traces.graded, strict=True)
    ]  # fmt: skip

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        outcome = deepconf(ready[j], order.tolist(), config)
        finished = ready[j].classes[list(outcome.finished)]
        return outcome.right, outcome.ledger, bool((finished == ready[j].gold_class).any())

    return play


def play_reasc(run: Run, traces: GradedTraces) -> Play:
    """Return ReASC as a play; needs stored token confidences.

    It is calibrated on the first stored trace of each of a benchmark's questions, without answers.
    """
    scores = [
        np.array([trace_confidence(t.confidences) for t in group if t.confidences is not None])
        for group in traces.traces.traces
    ]
    first, owner = np.array([one[0] for one in scores]), traces.benchmark_of
    known = {name: calibrate(first[owner == name], seed=run.profile.seed) for name in set(owner)}
    more = [{"scores": s, "calibration": known[b]} for s, b in zip(scores, owner, strict=True)]
    return play_stopping(traces, reasc, more)


def play_stopping(
    traces: GradedTraces, rule: Callable[..., StoppedVote], more: Sequence[dict[str, Any]] = ()
) -> Play:
    """Return a rule that asks for whole traces until it has enough, as a play.

    ``more``: what it is told of each question beside classes, tokens, gold class and order.
    """

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        graded = traces.graded[j]
        tokens = np.array([t.num_tokens for t in traces.traces.traces[j]])
        told = more[j] if more else {}
        found = rule(graded.classes, tokens, graded.gold_class, order.tolist(), **told)
        some = bool((graded.classes[list(found.finished)] == graded.gold_class).any())
        return found.right, found.ledger, some

    return play


def difference(run: Run, cell: Cell, other: Cell) -> Interval:
    """Return a method's accuracy minus another's, paired by question."""
    values = cell.right.mean(axis=0) - other.right.mean(axis=0)
    rng = run.rng("difference", cell.model, cell.benchmark, other.method)
    return bootstrap_mean(values, rng=rng, draws=run.profile.bootstrap_draws)


def control_curve(run: Run, traces: GradedTraces) -> MajorityCurve:
    """Return the control: majority votes over k random traces, many draws, per question."""
    return stack(
        [
            majority_curve(
                graded.classes,
                np.array([t.num_tokens for t in group]),
                graded.gold_class,
                draws=run.profile.pruning.control_draws,
                rng=run.rng("control", traces.model, question.question_id),
            )
            for question, graded, group in zip(
                traces.traces.questions, traces.graded, traces.traces.traces, strict=True
            )
        ]
    )


def control_cell(cell: Cell, curve: MajorityCurve, *, net_of: float | None = None) -> Cell:
    """Return the plain vote at the tokens that ``cell`` spends on each question.

    ``net_of`` adds the judge's tokens to the budget at that price.
    """
    budget = cell.generated.mean(axis=0)
    if net_of is not None:
        budget = budget + net_of * cell.judge.mean(axis=0)
    accuracy, _ = matched(curve, budget)
    zero = np.zeros((1, len(budget)))
    return Cell(
        f"Majority at {cell.method}'s tokens", cell.model, cell.benchmark, accuracy[None],
        budget[None], budget[None], zero, cell.baseline, accuracy[None],
    )  # fmt: skip
