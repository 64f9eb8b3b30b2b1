"""What each judge leaves of the saving: pruning with pairs read, with prefixes read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepprune_core.experiments.cascade import CASCADE, PAIRWISE
from deepprune_core.experiments.encode_once import (
    NAME,
    has_once,
    once_questions,
    once_scores,
    open_once,
)
from deepprune_core.experiments.methods import Online, fast, play_online
from deepprune_core.experiments.online import (
    Cell,
    control_cell,
    control_curve,
    play_all,
    play_consistency,
)
from deepprune_core.experiments.replays import for_each, play_pruning
from deepprune_core.experiments.representatives import play_choices, representatives_table
from deepprune_core.experiments.run import GradedTraces, Run
from deepprune_core.experiments.table2 import difference
from deepprune_core.experiments.table2_run import OnlineSetup
from deepprune_core.experiments.text import count, percent, rate, span
from deepprune_core.judging.cascade import unclear
from deepprune_core.judging.encode_once import EncodeOnceJudge
from deepprune_core.metrics import Interval
from deepprune_core.pruner import StoredQuestion
from deepprune_core.reporting.tables import Table, write_table

LEFT_OUT = "Left out: the profile has no judge that reads each prefix once (judge.encode_once)."


@dataclass(frozen=True)
class JudgeCost:
    """Pruning by one judge on one reasoner.

    ``against_all``: accuracy minus that of all traces; ``against_net``: minus that of a plain
    vote that costs as much, the judge's tokens counted.
    """

    judge: str
    cell: Cell
    against_all: Interval
    against_net: Interval


def cascade_questions(
    once: Sequence[StoredQuestion], pairwise: Sequence[StoredQuestion], width: float
) -> tuple[StoredQuestion, ...]:
    """Return the questions as a cascade sees them: pairs that reading once leaves unclear."""
    found = []
    for cheap, dear in zip(once, pairwise, strict=True):
        asked = unclear(cheap.scores, width)
        found.append(
            replace(
                cheap,
                scores=np.where(asked, dear.scores, cheap.scores),
                judge_tokens=np.where(asked, dear.judge_tokens, 0),
            )
        )
    return tuple(found)


def cost_rows(
    run: Run, traces: GradedTraces, judges: dict[str, Sequence[StoredQuestion]], judge_cost: float
) -> list[JudgeCost]:
    """Return every judge under the paper's rule, and reading pairs with one representative."""
    everyone = play_all(run, "all traces", traces, play_consistency(traces))
    curve, rule = control_curve(run, traces), run.profile.pruning.config()
    plays = {name: play_pruning(seen, rule) for name, seen in judges.items()}
    plays[f"{PAIRWISE}, fast"] = play_pruning(judges[PAIRWISE], fast(run))
    found = []
    for name, play in plays.items():
        cell = play_all(run, name, traces, play)
        control = control_cell(cell, curve, net_of=judge_cost)
        found.append(
            JudgeCost(name, cell, difference(run, cell, everyone), difference(run, cell, control))
        )
    return found


def judges_compared(
    run: Run, traces: Sequence[GradedTraces], pairwise: Sequence[Sequence[StoredQuestion]],
    judge_cost: float, width: float | None = None,
) -> dict[str, list[JudgeCost]]:  # fmt: skip
    """Return both judges (and their cascade, if its width is given) on every reasoner."""
    judge = open_once(run)
    stored = once_scores(run, judge, traces)
    seen = []
    for one, dear in zip(traces, pairwise, strict=True):
        cheap = once_questions(run, judge, stored, one)
        mine: dict[str, Sequence[StoredQuestion]] = {PAIRWISE: dear, NAME: cheap}
        if width is not None:
            mine[CASCADE] = cascade_questions(cheap, dear, width)
        seen.append(mine)
    found = for_each(run, cost_rows, traces, seen, [judge_cost] * len(seen))
    return {one.model: rows for one, rows in zip(traces, found, strict=True)}


def judges_table(run: Run, found: dict[str, list[JudgeCost]], judge_cost: float) -> Table:
    """Return what each judge costs and what the vote keeps."""
    rows = [
        (model, one.judge, count(one.cell.judge.mean(axis=0).sum()),
         rate(one.cell.total_share(run)), rate(one.cell.total_share(run, judge_cost)),
         rate(one.cell.accuracy(run)), rate(one.against_all), rate(one.against_net))
        for model, mine in found.items() for one in mine
    ]  # fmt: skip
    return Table(
        "judge_costs",
        f"What a judge costs, and what is left of the saving. {run.profile.caption}",
        ("reasoner", "judge", "judge's tokens", "% of cons@N, gross", "% of cons@N, net",
         "accuracy (%)", "against all (points)", "against a vote of equal net cost (points)"),
        tuple(rows),
        (f"Net adds the judge's prompt tokens at {judge_cost:.2f} of a reasoner's token. "
         f"'{NAME}' is charged question and prefix once a trace; 'fast' asks one fixed "
         "representative a cluster.",),
    )  # fmt: skip


def judges_words(run: Run, found: dict[str, list[JudgeCost]], judge_cost: float) -> str:
    """Return what is saved with the judge counted."""
    by_judge = {name: [_one(mine, name) for mine in found.values()] for name in (PAIRWISE, NAME)}
    saved = {
        name: span([percent(1 - one.cell.total_share(run, judge_cost).value) for one in mine])
        for name, mine in by_judge.items()
    }
    once = by_judge[NAME]
    lost = span([f"{100 * one.against_all.value:+.1f}" for one in once])
    net = span([f"{100 * one.against_net.value:+.1f}" for one in once])
    run.headline(
        "08", ("Tokens saved, judge counted, each prefix read once (%)", "–", saved[NAME]),
        ("Accuracy then, against a vote of equal net cost (points)", "–", net),
    )  # fmt: skip
    return (
        f"With the judge counted, reading pairs saves {saved[PAIRWISE]} %, reading each prefix "
        f"once {saved[NAME]} %. Accuracy then changes by {lost} points against all traces, and by "
        f"{net} points against a plain vote that costs as much."
    )


def both_judges(run: Run, setup: OnlineSetup) -> Table | str:
    """Write and return what both judges cost, or say why there is only one."""
    if not has_once(run):
        return LEFT_OUT
    found = judges_compared(run, setup.traces, setup.questions, setup.judge_cost)
    run.note("05-judges", judges_words(run, found, setup.judge_cost))
    return write_table(judges_table(run, found, setup.judge_cost), run.out)


def once_representatives(run: Run, setup: OnlineSetup) -> Table | str:
    """Write and return the choices of representatives with the judge that reads once."""
    if not has_once(run):
        return LEFT_OUT
    judge = open_once(run)
    stored = once_scores(run, judge, setup.traces)
    seen = [once_questions(run, judge, stored, one) for one in setup.traces]
    found = for_each(run, play_choices, setup.traces, seen)
    choices = {one.model: mine for one, mine in zip(setup.traces, found, strict=True)}
    table = representatives_table(run, choices, setup.judge_cost, name="representatives_once")
    return write_table(table, run.out)


def _one(found: Sequence[JudgeCost], name: str) -> JudgeCost:
    return next(one for one in found if one.judge == name)


def results_at_scale(large: Run, judge: EncodeOnceJudge, judge_cost: float) -> list[Online]:
    """Return all methods of Table 2 with the judge that reads once; ``large``: :func:`at_scale`."""
    stored = once_scores(large, judge, large.online)
    seen = [once_questions(large, judge, stored, one) for one in large.online]
    prices = [judge_cost] * len(seen)
    return for_each(large, play_online, large.online, seen, prices)
