"""What the ceiling would win: pruning replayed with a judge that knows each prefix's own ends.

The rollouts of :mod:`replication.rollouts` rank pairs as well as any reader of the prefixes can.
Where pruning by them does not beat a plain vote of the same tokens, a better reader of pairs will
hardly help.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.metrics import Interval
from deepprune_core.peers.self_consistency import MajorityCurve
from deepprune_core.pruner import PruningConfig, StoredQuestion
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Truncation
from replication.methods import oracle_scores
from replication.online import (
    Cell,
    control_cell,
    control_curve,
    difference,
    play_all,
    stored_questions,
)
from replication.readers import NUMBERS
from replication.replays import play_pruning
from replication.reporting.evidence import CEILING, CONFIRMED, OPEN, REFUTED, above
from replication.rollouts import all_rolled, rollouts_settings
from replication.run import GradedTraces, Run
from replication.text import rate
from replication.threshold import candidate_taus

ORACLE = "oracle: knows which traces agree"
VERDICTS = {CONFIRMED: "beats", REFUTED: "loses against", OPEN: "is not told from"}


@dataclass(frozen=True)
class Pruned:
    """Pruning of a job's rolled traces at a cut, by one judge, at its best threshold.

    ``gain``: accuracy minus that of a plain vote of the same tokens, paired by question.
    """

    benchmark: str
    cut: Truncation
    judge: str
    tau: float
    cell: Cell
    gain: Interval


def pruned_by_knowledge(run: Run, tokenizer: Any) -> list[Pruned]:
    """Return floor, ceiling and oracle as pruners of every job at every cut with rollouts."""
    found, continuations = [], rollouts_settings(run).continuations
    for title, traces, cuts in all_rolled(run, tokenizer):
        curve = control_curve(run, traces)
        for rolled in cuts:
            floor, ceiling = (
                stored_questions(traces, judge, rolled.cut, tokenizer)
                for judge in (NumberOverlapJudge(), rolled.judge(continuations))
            )
            oracle = [oracle_scores(question) for question in ceiling]
            judges = {NUMBERS: floor, CEILING: ceiling, ORACLE: oracle}
            for name, questions in judges.items():
                cell, tau, gain = _best(run, traces, curve, name, questions)
                found.append(Pruned(title, rolled.cut, name, tau, cell, gain))
    return found


def few_traces(run: Run, config: PruningConfig) -> PruningConfig:
    """Return the configuration with K2 and K3 as shares of the rolled traces, rounded up."""
    share = rollouts_settings(run).prefixes / run.profile.traces.online_per_question

    def scaled(k: int) -> int:
        return max(1, math.ceil(k * share))

    return replace(config, k2=scaled(config.k2), k3=scaled(config.k3))


def _best(
    run: Run,
    traces: GradedTraces,
    curve: MajorityCurve,
    name: str,
    questions: Sequence[StoredQuestion],
) -> tuple[Cell, float, Interval]:
    """Return a judge's pruning, τ and gain, for the τ that wins most on these very questions."""
    found = []
    for tau in candidate_taus(questions) if name != ORACLE else [0.5]:
        config = few_traces(run, run.profile.pruning.config(tau=tau))
        cell = play_all(run, name, traces, play_pruning(questions, config))
        found.append((cell, tau, difference(run, cell, control_cell(cell, curve))))
    return max(found, key=lambda one: np.round(one[2].value, 9))


def pruned_table(run: Run, found: Sequence[Pruned]) -> Table:
    """Return what each pruner costs and wins."""
    n = rollouts_settings(run).prefixes
    config = few_traces(run, run.profile.pruning.config())
    return Table(
        "known_pruning",
        f"What the ceiling would win as a judge. {run.profile.caption}",
        ("benchmark", "truncation", "judge", "τ", f"% of cons@{n}, gross", "accuracy (%)",
         "against a plain vote of the same tokens (points)"),
        tuple(
            (one.benchmark, one.cut.label, one.judge, f"{one.tau:g}",
             rate(one.cell.total_share(run)), rate(one.cell.accuracy(run)), rate(one.gain))
            for one in found
        ),
        (f"N: {n} traces of each question that has rollouts, K2 = {config.k2}, "
         f"{run.profile.pruning.orders} arrival orders. These are questions whose traces "
         "disagree, so accuracies are lower than over all. τ is the one that wins most on these "
         "very questions, which favours each judge; judges cost nothing here.",),
    )  # fmt: skip


def pruned_words(run: Run, found: Sequence[Pruned]) -> str:
    """Return whether even the ceiling beats a plain vote of the same tokens."""
    n = rollouts_settings(run).prefixes
    sentences = []
    for one in (p for p in found if p.judge == CEILING):
        oracle, floor = (rate(_like(found, one, name).gain) for name in (ORACLE, NUMBERS))
        sentences.append(
            f"On *{one.benchmark}* at {one.cut.label} the ceiling "
            f"{VERDICTS[above(one.gain, 0)]} a plain vote of the same tokens ({rate(one.gain)} "
            "points); a judge that knows which traces "
            f"agree has {oracle}, {NUMBERS} {floor}."
        )
    about = (
        f"What would a better judge win? Let the rollouts themselves judge, and prune {n} traces "
        "by them, with the τ that suits them best: no judge ranks pairs better at that cut."
    )
    return run.note("07-pruning", about, *sentences)


def _like(found: Sequence[Pruned], like: Pruned, judge: str) -> Pruned:
    return next(
        one for one in found
        if (one.benchmark, one.cut, one.judge) == (like.benchmark, like.cut, judge)
    )  # fmt: skip


def what_the_ceiling_wins(run: Run, tokenizer: Any) -> Table | str:
    """Write and return floor, ceiling and oracle as pruners, or say why there is none."""
    if run.profile.rollouts is None:
        return "Left out: the profile has no rollouts."
    if not (found := pruned_by_knowledge(run, tokenizer)):
        return f"No rollouts yet; run `make rollouts PROFILE={run.profile.name}`."
    pruned_words(run, found)
    return write_table(pruned_table(run, found), run.out)
