"""Table 3: the threshold, with clustering alone and with the vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.pruner import StoredQuestion
from deepprune_core.reporting.tables import Table
from replication.online import Cell, play_all, select
from replication.replays import Replays, play_pruning
from replication.reporting.plots_online import ThresholdLine
from replication.reporting.reference import load_reference
from replication.run import GradedTraces, Run
from replication.text import NOTHING, count, percent, rate


@dataclass(frozen=True)
class ThresholdRow:
    """One threshold on one benchmark: one trace a cluster (``alone``) and the vote (``voted``)."""

    tau: float
    benchmark: str
    alone: Cell
    voted: Cell

    def pass_rate(self, run: Run) -> Interval:
        """Return how often some cluster's first trace is right: pass@k for k clusters."""
        rng = run.rng("pass", self.benchmark, str(self.tau))
        values = self.alone.pass_any.mean(axis=0)
        return bootstrap_mean(values, rng=rng, draws=run.profile.bootstrap_draws)

    @property
    def retained(self) -> float:
        """Tokens of the kept traces only, as the paper's clustering column counts."""
        return float(self.alone.kept.mean(axis=0).sum())

    @property
    def clusters_cost(self) -> float:
        """Kept traces and pruned prefixes: all tokens that clustering alone generates."""
        return float(self.alone.generated.mean(axis=0).sum())


def threshold_rows(
    run: Run, traces: GradedTraces, questions: Sequence[StoredQuestion], benchmarks: Sequence[str]
) -> tuple[ThresholdRow, ...]:
    """Return every threshold of the profile on every benchmark."""
    rows = []
    for tau in run.profile.pruning.taus:
        cells, replays = [], Replays(questions)
        for finish in ("survivors", "largest_cluster"):
            config = run.profile.pruning.config(tau=tau, finish=finish)
            cells.append(play_all(run, finish, traces, play_pruning(questions, config, replays)))
        for benchmark in benchmarks:
            mask = traces.benchmark_of == benchmark
            alone, voted = (select(cell, mask, benchmark) for cell in cells)
            rows.append(ThresholdRow(tau, benchmark, alone, voted))
    return tuple(rows)


def table3(run: Run, model: str, rows: Sequence[ThresholdRow], judge_cost: float) -> Table:
    """Return Table 3, with both ways of counting tokens and the judge's share."""
    reference = load_reference().table3
    names = dict(zip(dict.fromkeys(row.benchmark for row in rows), reference, strict=False))
    cells: list[tuple[str, ...]] = []
    for row in sorted(rows, key=lambda r: r.benchmark):
        paper = reference[names[row.benchmark]].get(row.tau) if row.benchmark in names else None
        cells.append(
            (
                row.benchmark, f"{row.tau:g}",
                *(
                    (f"{paper.clustering[0]:.4f}", f"{paper.clustering[1]:.1f}",
                     f"{paper.voting[0]:.2f}", f"{paper.voting[1]:.1f}")
                    if paper else (NOTHING,) * 4
                ),
                count(row.retained), count(row.clusters_cost), rate(row.pass_rate(run)),
                count(row.voted.generated.mean(axis=0).sum()),
                percent(row.voted.total_share(run).value),
                percent(row.voted.total_share(run, judge_cost).value),
                rate(row.voted.accuracy(run)),
            )
        )  # fmt: skip
    n = rows[0].voted.right.shape[1]
    return Table(
        "table3",
        f"The threshold τ on {model} (Table 3). {run.profile.caption}",
        ("benchmark", "τ", "paper: retained (1e8)", "paper: pass@k", "paper: vote (1e8)",
         "paper: accuracy", "retained only", "with pruned prefixes", "pass@k (%)", "vote: tokens",
         "vote: % of cons@N", "vote: % net", "vote: accuracy (%)"),
        tuple(cells),
        (f"N: {n} questions a benchmark, {run.profile.pruning.orders} arrival orders. The paper's "
         "benchmarks stand beside ours in order: " + ", ".join(f"{a} for {b}" for b, a in
                                                               names.items()) + ".",
         "'Retained only' counts the kept traces, as the paper's clustering column does; 'with "
         "pruned prefixes' also counts what the stopped traces had generated."),
    )  # fmt: skip


def threshold_panels(run: Run, rows: Sequence[ThresholdRow]) -> dict[str, list[ThresholdLine]]:
    """Return the panels of Table 3's figure, one a benchmark."""
    panels: dict[str, list[ThresholdLine]] = {}
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        mine = sorted((r for r in rows if r.benchmark == benchmark), key=lambda r: r.tau)
        taus = [r.tau for r in mine]
        panels[benchmark] = [
            ThresholdLine("vote of the largest cluster: accuracy", taus,
                          [r.voted.total_share(run) for r in mine],
                          [r.voted.accuracy(run) for r in mine]),
            ThresholdLine("one trace a cluster: pass@k", taus,
                          [r.alone.total_share(run) for r in mine],
                          [r.pass_rate(run) for r in mine]),
        ]  # fmt: skip
    return panels


def table3_words(run: Run, rows: Sequence[ThresholdRow]) -> str:
    """Return what agrees with the paper's Table 3 and what does not."""
    by_tau = {tau: [r for r in rows if r.tau == tau] for tau in sorted({r.tau for r in rows})}
    low, high = min(by_tau), max(by_tau)

    def mean(tau: float, pick: str) -> float:
        picked = [
            r.retained if pick == "retained" else r.clusters_cost if pick == "all"
            else float(r.voted.right.mean()) if pick == "accuracy" else r.pass_rate(run).value
            for r in by_tau[tau]
        ]  # fmt: skip
        return float(np.mean(picked))

    grows = "grow" if mean(high, "retained") > mean(low, "retained") else "do not grow"
    return run.note(
        "06",
        f"Retained tokens {grows} with τ: {count(mean(low, 'retained'))} a benchmark at {low:g}, "
        f"{count(mean(high, 'retained'))} at {high:g}, as in the paper.",
        f"Counting the pruned prefixes too, clustering costs {count(mean(high, 'all'))} at "
        f"{high:g}: the paper's two token columns cannot be compared with each other.",
        f"With τ = {', '.join(f'{tau:g}' for tau in by_tau)}, pass@k is "
        f"{', '.join(percent(mean(tau, 'pass')) for tau in by_tau)} % and the vote's accuracy "
        f"{', '.join(percent(mean(tau, 'accuracy')) for tau in by_tau)} %.",
        *(
            ["Some of these τ put all traces into one cluster, and then change nothing."]
            if len({round(mean(tau, "retained"), 6) for tau in by_tau}) < len(by_tau)
            else []
        ),
    )
