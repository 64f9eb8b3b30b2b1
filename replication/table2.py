"""Table 2 and its figures: accuracy and tokens of pruned and plain votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.pruner import PruningConfig, StoredQuestion, replay
from deepprune_core.reporting.plots import HeroTrace
from deepprune_core.reporting.tables import Table
from replication.methods import CONTROL, CONTROLS, REASC, Online, named
from replication.online import control_cell, difference
from replication.reporting.plots_online import Point
from replication.reporting.reference import load_reference
from replication.run import Run
from replication.text import NOTHING, count, percent, rate

# The methods of the figure beside cons@N; the table has all of them.
DRAWN = (
    "DeepConf-high", "DeepConf-low", "adaptive consistency", "early stopping", REASC,
    "Slim-SC",
    "DeepPrune",
    "DeepPrune, survivors", "DeepPrune, oracle judge", "DeepPrune, random judge",
)  # fmt: skip

# What stands beside DeepPrune where it is held against a plain vote.
BESIDE = ("DeepPrune, oracle judge", "DeepPrune, random judge", "adaptive consistency", REASC)


def table2(
    run: Run,
    results: Sequence[Online],
    judge_cost: float,
    *,
    name: str = "table2",
    judge: str | None = None,
) -> Table:
    """Return Table 2: every method on every reasoner and benchmark; ``judge``: who pruned."""
    rows: list[tuple[str, ...]] = []
    for online in results:
        for benchmark in online.traces.traces.benchmarks:
            _, cells = online.on(benchmark)
            for cell in cells:
                low, high = cell.order_spread
                net = cell.total_share(run, judge_cost) if cell.judge.any() else None
                rows.append(
                    (
                        cell.model, benchmark, cell.method,
                        count(cell.generated.mean(axis=0).sum()), rate(cell.total_share(run)),
                        rate(net) if net else NOTHING, rate(cell.accuracy(run)),
                        f"{percent(low)}–{percent(high)}" if len(cell.right) > 1 else NOTHING,
                    )
                )  # fmt: skip
    orders, n = run.profile.pruning.orders, len(results[0].traces.traces.questions)
    return Table(
        name,
        f"Accuracy and tokens of parallel votes (Table 2). {run.profile.caption}",
        ("reasoner", "benchmark", "method", "tokens", "% of cons@N, gross", "% of cons@N, net",
         "accuracy (%)", "spread over orders"),
        tuple(rows),
        (f"N: {n} questions a reasoner; means over {orders} arrival orders; intervals from "
         "resampling questions.",
         *([f"The judge: {judge}; τ = {run.profile.pruning.tau:g}."] if judge else []),
         f"Net adds the judge's prompt tokens at {judge_cost:.3g} of a reasoner's token.",
         f"'{CONTROL}' is the plain majority vote of k random traces that costs what DeepPrune "
         "costs, question by question; 'net' also grants it the judge's tokens. It takes all "
         f"traces, and spends less, on {percent(_saturated(results, judge_cost))} % of questions.",
         *([f"{REASC} is calibrated on the confidence of each question's first stored trace, "
            "without answers."] if any(row[2] == REASC for row in rows) else [])),
    )  # fmt: skip


def _saturated(results: Sequence[Online], judge_cost: float) -> float:
    """Return the share of questions on which DeepPrune's net tokens buy more than all traces."""
    full = []
    for online in results:
        pruned = named(online.cells, "DeepPrune")
        spent = (pruned.generated + judge_cost * pruned.judge).mean(axis=0)
        full.append(spent >= pruned.baseline)
    return float(np.concatenate(full).mean())


def paper_table2() -> Table:
    """Return the paper's Table 2 with the shares that follow from it."""
    rows: list[tuple[str, ...]] = []
    for model, methods in load_reference().table2.items():
        for method, benchmarks in methods.items():
            whole = "cons@512 (DeepConf paper)" if "DeepConf" in method else "cons@512"
            for benchmark, (tokens, accuracy) in benchmarks.items():
                share = 100 * tokens / methods[whole][benchmark][0]
                rows.append((model, benchmark, method, f"{tokens:.2f}", f"{share:.1f}",
                             f"{accuracy:.1f}"))  # fmt: skip
    return Table(
        "table2_paper",
        "Table 2 as reported: 512 traces, tokens in units of 1e8 for the whole benchmark.",
        ("reasoner", "benchmark", "method", "tokens", "% of its own cons@512", "accuracy (%)"),
        tuple(rows),
        ("DeepConf's rows are copied from its own paper, on other traces.",
         "The judge's tokens are not counted."),
    )  # fmt: skip


def gains(run: Run, results: Sequence[Online], judge_cost: float) -> dict[str, list[Point]]:
    """Return each method's cost, and its gain over a plain vote of the same tokens, by reasoner."""
    found: dict[str, list[Point]] = {}
    for online in results:
        points = found.setdefault(online.traces.model, [])
        for cell in online.cells:
            if not cell.method.startswith("cons") and cell.method not in DRAWN:
                continue
            points.append(Point(cell.method, cell.total_share(run), online.gain(run, cell)))
        pruned = named(online.cells, "DeepPrune")
        net, gain = pruned.total_share(run, judge_cost), online.gain(run, pruned, judge_cost)
        points.append(Point("DeepPrune", net, gain, counted=True))
    return found


def control_table(
    run: Run, results: Sequence[Online], *, name: str = "control", with_all: bool = False
) -> Table:
    """Return DeepPrune, its bounds and peers minus the plain vote of equal tokens.

    All of a reasoner's questions are taken together. ``with_all``: DeepPrune minus the vote of
    all traces, too.
    """
    rows = []
    for online in results:
        _, cells = online.on("all")
        if with_all:
            pruned = named(cells, "DeepPrune")
            rows.append(
                (pruned.model, pruned.method, "all tokens", rate(pruned.accuracy(run)),
                 rate(cells[0].accuracy(run)), rate(difference(run, pruned, cells[0])))
            )  # fmt: skip
        for method, controls in CONTROLS.items():
            pruned = named(cells, method)
            for control, label in zip(controls, ("same tokens", "same tokens net"), strict=True):
                other = named(cells, control)
                rows.append(
                    (pruned.model, method, label, rate(pruned.accuracy(run)),
                     rate(other.accuracy(run)), rate(difference(run, pruned, other)))
                )  # fmt: skip
        for cell in (one for one in cells if one.method in BESIDE):
            other = control_cell(cell, online.curve)
            rows.append(
                (cell.model, cell.method, "same tokens", rate(cell.accuracy(run)),
                 rate(other.accuracy(run)), rate(difference(run, cell, other)))
            )  # fmt: skip
    return Table(
        name,
        f"DeepPrune against a plain vote at the same cost. {run.profile.caption}",
        ("reasoner", "method", "plain vote at", "method (%)", "plain vote (%)",
         "difference (points)"),
        tuple(rows),
        ("Paired by question; intervals from resampling questions.",),
    )  # fmt: skip


def hero_traces(
    online: Online, questions: Sequence[StoredQuestion], config: PruningConfig
) -> tuple[str, list[HeroTrace]]:
    """Return (title, traces) of one question, for show.

    It is the one that saves most among those answered right, with three to six clusters if
    any has so many.
    """
    outcomes = [
        replay(question, range(len(question.classes)), config, np.random.default_rng(j))
        for j, question in enumerate(questions)
    ]

    def rank(j: int) -> tuple[bool, bool, float]:
        if not outcomes[j].right:
            return False, False, 0.0
        several = 3 <= len(outcomes[j].clustering.clusters) <= 6
        return True, several, outcomes[j].ledger.saved_gross

    chosen = max(range(len(questions)), key=rank)
    question, outcome = questions[chosen], outcomes[chosen]
    cluster = {t: c for c, group in enumerate(outcome.clustering.clusters) for t in group}
    group = online.traces.traces.traces[chosen]
    traces = [
        HeroTrace(
            cluster.get(i, -1), i in outcome.finished,
            int(question.num_tokens[i] if i in outcome.finished else question.prefix_tokens[i]),
            int(question.num_tokens[i]), str(trace.answer or NOTHING),
            int(question.classes[i]) == question.gold_class,
        )
        for i, trace in enumerate(group)
    ]  # fmt: skip
    saved = percent(outcome.ledger.saved_gross, 0)
    title = f"{question.question_id}: {len(group)} traces, {saved} % of the tokens never generated"
    return title, traces
