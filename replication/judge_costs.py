"""What each judge leaves of the saving: pruning with pairs read, with prefixes read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepprune_core.judging.score_cache import CachedJudge
from deepprune_core.metrics import Interval
from deepprune_core.pruner import PruningConfig, StoredQuestion
from deepprune_core.reporting.tables import Table, write_table
from replication.both_judges import PAIRWISE
from replication.encode_once import (
    NAME,
    has_once,
    once_cost,
    once_questions,
    once_scores,
    once_tau,
    open_once,
)
from replication.methods import fast
from replication.online import (
    Cell,
    control_cell,
    control_curve,
    difference,
    play_all,
    play_consistency,
    stored_questions,
)
from replication.readers import EMBEDDINGS
from replication.replays import for_each, play_pruning
from replication.representatives import play_choices, representatives_table
from replication.run import GradedTraces, Run
from replication.table2_run import OnlineSetup
from replication.text import count, rate, saving, span
from replication.threshold import chosen_tau, with_tau

READS = {PAIRWISE: "reading pairs"}
OWN = ", τ = "  # before a threshold that was chosen for the judge
LEFT_OUT = "Left out: the profile has no judge that reads each prefix once (judge.encode_once)."


@dataclass(frozen=True)
class JudgeCost:
    """Pruning by one judge on one reasoner.

    ``price``: of one of its tokens. ``against_all``: accuracy minus that of all traces;
    ``against_net``: minus that of a plain vote that costs as much, the judge's tokens counted.
    """

    judge: str
    cell: Cell
    price: float
    against_all: Interval
    against_net: Interval


Seen = tuple[Sequence[StoredQuestion], PruningConfig, float]
"""Questions as a judge sees them, the rule that prunes them, and the price of a judge's token."""


def cost_rows(run: Run, traces: GradedTraces, judges: dict[str, Seen]) -> list[JudgeCost]:
    """Return what every judge costs and what the vote keeps, on one reasoner."""
    everyone = play_all(run, "all traces", traces, play_consistency(traces))
    curve, found = control_curve(run, traces), []
    for name, (questions, rule, price) in judges.items():
        cell = play_all(run, name, traces, play_pruning(questions, rule))
        control = control_cell(cell, curve, net_of=price)
        against_all, against_net = (difference(run, cell, other) for other in (everyone, control))
        found.append(JudgeCost(name, cell, price, against_all, against_net))
    return found


def pairwise_tau(run: Run, setup: OnlineSetup) -> float:
    """Return the τ that suits the judge of Table 2, chosen on the development questions."""
    dev = run.teaching("development")
    seen = stored_questions(dev, setup.judge, run.cuts.online(), setup.tokenizer)
    if isinstance(setup.judge, CachedJudge):
        setup.judge.save()
    return chosen_tau(run, dev, seen)


def judges_compared(run: Run, setup: OnlineSetup) -> dict[str, list[JudgeCost]]:
    """Return both judges on every reasoner, each at the paper's τ and at its own."""
    judge, rule = open_once(run), run.profile.pruning.config()
    stored = once_scores(run, judge, setup.traces)
    dear_tau, cheap_tau = pairwise_tau(run, setup), once_tau(run, judge)
    dear_rule, cheap_rule = (run.profile.pruning.config(tau=t) for t in (dear_tau, cheap_tau))
    name, high, low = setup.name, setup.judge_cost, once_cost(run)
    seen: list[dict[str, Seen]] = []
    for one, dear in zip(setup.traces, setup.questions, strict=True):
        cheap = once_questions(run, judge, stored, one)
        seen.append(
            {
                name: (dear, rule, high),
                f"{name}, fast": (dear, fast(run), high),
                f"{name}{OWN}{dear_tau:g}": (dear, dear_rule, high),
                NAME: (cheap, rule, low),
                f"{NAME}{OWN}{cheap_tau:g}": (cheap, cheap_rule, low),
            }
        )
    found = for_each(run, cost_rows, setup.traces, seen)
    return {one.model: rows for one, rows in zip(setup.traces, found, strict=True)}


def judges_table(run: Run, found: dict[str, list[JudgeCost]]) -> Table:
    """Return what each judge costs and what the vote keeps."""
    rows = [
        (model, one.judge, count(one.cell.judge.mean(axis=0).sum()),
         rate(one.cell.total_share(run)), rate(one.cell.total_share(run, one.price)),
         rate(one.cell.accuracy(run)), rate(one.against_all), rate(one.against_net))
        for model, mine in found.items() for one in mine
    ]  # fmt: skip
    prices = {one.judge.split(",")[0]: one.price for one in next(iter(found.values()))}
    told = ", ".join(f"{price:.2g} for {name}" for name, price in prices.items())
    return Table(
        "judge_costs",
        f"What a judge costs, and what is left of the saving. {run.profile.caption}",
        ("reasoner", "judge", "judge's tokens", "% of cons@N, gross", "% of cons@N, net",
         "accuracy (%)", "against all (points)", "against a vote of equal net cost (points)"),
        tuple(rows),
        (f"Net adds the judge's prompt tokens, at this share of a reasoner's token: {told}. "
         f"'{NAME}' is charged question and prefix once a trace"
         + (", the embeddings the prefix alone" if EMBEDDINGS in prices else "")
         + "; 'fast' asks one fixed "
         f"representative a cluster. τ is {run.profile.pruning.tau:g} where none is named; the "
         "others were chosen on the development questions.",),
    )  # fmt: skip


def judges_words(run: Run, found: dict[str, list[JudgeCost]], asked: str) -> str:
    """Return what is saved with the judge counted; ``asked`` names the judge of Table 2."""
    own = f"{NAME}{OWN}"
    by_judge = {name: [_one(mine, name) for mine in found.values()] for name in (asked, NAME, own)}
    saved = {
        name: saving([1 - one.cell.total_share(run, one.price).value for one in mine])
        for name, mine in by_judge.items()
    }
    once = by_judge[own]
    lost = span([f"{100 * one.against_all.value:+.1f}" for one in once])
    net, half = (
        span([f"{100 * one.against_net.value:+.1f}" for one in by_judge[name]])
        for name in (own, NAME)
    )
    run.headline(
        "08", ("Tokens saved, judge counted, each prefix read once", "–", saved[own]),
        ("Accuracy then, against a vote of equal net cost (points)", "–", net),
    )  # fmt: skip
    return (
        f"With the judge counted, {READS.get(asked, asked)} saves {saved[asked]}, reading each "
        f"prefix once {saved[own]}. Accuracy then changes by {lost} points against all traces, "
        f"and by {net} points against a plain vote that costs as much; at τ = "
        f"{run.profile.pruning.tau:g}, not chosen for it, by {half} points."
    )


def both_judges(run: Run, setup: OnlineSetup) -> Table | str:
    """Write and return what both judges cost, or say why there is only one."""
    if not has_once(run):
        return LEFT_OUT
    found = judges_compared(run, setup)
    run.note("05-judges", judges_words(run, found, setup.name))
    return write_table(judges_table(run, found), run.out)


def once_representatives(run: Run, setup: OnlineSetup) -> Table | str:
    """Write and return the choices of representatives with the judge that reads once."""
    if not has_once(run):
        return LEFT_OUT
    judge = open_once(run)
    stored = once_scores(run, judge, setup.traces)
    seen = [once_questions(run, judge, stored, one) for one in setup.traces]
    run = with_tau(run, once_tau(run, judge))
    found = for_each(run, play_choices, setup.traces, seen)
    choices = {one.model: mine for one, mine in zip(setup.traces, found, strict=True)}
    table = representatives_table(run, choices, once_cost(run), name="representatives_once")
    return write_table(table, run.out)


def _one(found: Sequence[JudgeCost], name: str) -> JudgeCost:
    exact = [one for one in found if one.judge == name]
    return next(iter(exact or [one for one in found if one.judge.startswith(name)]))
