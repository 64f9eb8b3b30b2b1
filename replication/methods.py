"""What Table 2 compares: cons@N, DeepConf, DeepPrune under its rules, its bounds, the controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepprune_core.metrics import Interval
from deepprune_core.peers.self_consistency import MajorityCurve
from deepprune_core.peers.slim_sc import ThinkingTraces
from deepprune_core.peers.stopping import StoppedVote, adaptive_consistency, early_stopping
from deepprune_core.pruner import PruningConfig, StoredQuestion, symmetric_matrix
from replication.online import (
    Cell,
    control_cell,
    control_curve,
    difference,
    play_all,
    play_consistency,
    play_deepconf,
    play_reasc,
    play_stopping,
    select,
)
from replication.replays import Replays, play_pruning, play_random
from replication.run import GradedTraces, Run
from replication.slim_sc import NAME as SLIM
from replication.slim_sc import play_slim

REASC = "ReASC"
CONTROL, CONTROL_NET = "majority, same tokens", "majority, same tokens net"
WEIGHTED = "DeepPrune, cluster-weighted"
FAST = "DeepPrune, fast"
STOPPING: dict[str, Callable[..., StoppedVote]] = {
    "adaptive consistency": adaptive_consistency,
    "early stopping": early_stopping,
}
# A plain vote that costs what a method costs, without and with the judge's tokens.
CONTROLS = {
    "DeepPrune": (CONTROL, CONTROL_NET),
    WEIGHTED: ("majority, cluster-weighted's tokens", "majority, cluster-weighted's tokens net"),
}


@dataclass(frozen=True)
class Online:
    """All methods on one reasoner: ``cells`` over all its questions, and the control's curve."""

    traces: GradedTraces
    cells: tuple[Cell, ...]
    curve: MajorityCurve

    def gain(self, run: Run, cell: Cell, judge_cost: float | None = None) -> Interval:
        """Return a method's accuracy minus that of a plain vote that costs as much.

        ``judge_cost``: the price at which the judge's tokens count too (None: they do not).
        """
        return difference(run, cell, control_cell(cell, self.curve, net_of=judge_cost))

    def on(self, benchmark: str) -> tuple[np.ndarray, tuple[Cell, ...]]:
        """Return the benchmark's questions (mask) and every method's cell on them."""
        mask = (self.traces.benchmark_of == benchmark) | (benchmark == "all")
        return mask, tuple(select(cell, mask, benchmark) for cell in self.cells)


def play_online(
    run: Run,
    traces: GradedTraces,
    questions: Sequence[StoredQuestion],
    judge_cost: float,
    thinking: Sequence[ThinkingTraces] = (),
) -> Online:
    """Return cons@N, its peers, DeepPrune under its rules, its bounds, and the controls.

    ``thinking``: the questions' thoughts, where Slim-SC is among the peers.

    ``fast`` is the paper's rule with one fixed representative a cluster. The bounds are an oracle
    judge, who knows which traces agree, and a random one: the judge's own scores, shuffled among
    a question's pairs. Random pruning asks no judge at all.
    """
    n = max(len(group) for group in traces.traces.traces)
    cells = [play_all(run, f"cons@{n}", traces, play_consistency(traces))]
    if traces.traces.has_confidences:
        for label, keep in (("high", run.profile.deepconf.high), ("low", run.profile.deepconf.low)):
            play = play_deepconf(run, traces, keep)
            cells.append(play_all(run, f"DeepConf-{label}", traces, play))
        cells.append(play_all(run, REASC, traces, play_reasc(run, traces)))
    for label, rule in STOPPING.items():
        cells.append(play_all(run, label, traces, play_stopping(traces, rule)))
    if thinking:
        cells.append(play_all(run, SLIM, traces, play_slim(run, thinking)))
    judges = {
        "": questions,
        ", oracle judge": [oracle_scores(q) for q in questions],
        ", random judge": [
            shuffled_scores(q, run.rng("random judge", traces.model, q.question_id))
            for q in questions
        ],
    }
    shared = Replays(questions)
    for suffix, scored in judges.items():
        replays = Replays(scored) if suffix else shared
        for method, config in rules(run).items():
            play = play_pruning(scored, config, replays)
            cells.append(play_all(run, f"{method}{suffix}", traces, play))
    cells.append(play_all(run, FAST, traces, play_pruning(questions, fast(run))))
    drawn = play_random(questions, rules(run)["DeepPrune"], shared)
    cells.append(play_all(run, "random pruning", traces, drawn))
    curve = control_curve(run, traces)
    for method, (control, control_net) in CONTROLS.items():
        pruned = named(cells, method)
        gross, net = control_cell(pruned, curve), control_cell(pruned, curve, net_of=judge_cost)
        cells += [_renamed(gross, control), _renamed(net, control_net)]
    return Online(traces, tuple(cells), curve)


def rules(run: Run) -> dict[str, PruningConfig]:
    """Return DeepPrune's ways to finish and vote, by name; the paper's is plain ``DeepPrune``.

    ``survivors``: every cluster's first trace finishes and has one vote. ``cluster-weighted``:
    the same traces finish, and each votes with the size of its cluster.
    """
    pruning = run.profile.pruning
    return {
        "DeepPrune": pruning.config(),
        "DeepPrune, survivors": pruning.config(finish="survivors"),
        WEIGHTED: pruning.config(finish="survivors", vote="cluster_weighted"),
    }


def fast(run: Run) -> PruningConfig:
    """Return the paper's rule with one fixed representative a cluster: its first trace."""
    config = run.profile.pruning.config()
    few = replace(config.clustering, max_representatives=1, choice="first")
    return replace(config, clustering=few)


def oracle_scores(question: StoredQuestion) -> StoredQuestion:
    """Return the question with the truth as its scores; asking costs what the judge costs."""
    same = question.classes[:, None] == question.classes[None, :]
    return replace(question, scores=same.astype(np.float64))


def shuffled_scores(question: StoredQuestion, rng: np.random.Generator) -> StoredQuestion:
    """Return the question with its scores shuffled among its pairs."""
    rows = np.stack(np.triu_indices(len(question.classes), k=1))
    values = rng.permutation(question.scores[rows[0], rows[1]])
    return replace(question, scores=symmetric_matrix(len(question.classes), rows, values))


def _renamed(cell: Cell, method: str) -> Cell:
    return replace(cell, method=method)


def named(cells: Sequence[Cell], method: str) -> Cell:
    """Return the cell of a method."""
    return next(cell for cell in cells if cell.method == method)
