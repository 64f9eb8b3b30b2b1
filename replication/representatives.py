"""How many representatives a cluster needs, and which: what the judge costs, what the vote loses.

The paper compares a trace with up to ten members of every cluster, drawn by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepprune_core.clustering import Choosing, ClusteringConfig
from deepprune_core.metrics import Interval
from deepprune_core.pruner import StoredQuestion
from deepprune_core.reporting.tables import Table
from replication.online import Cell, difference, play_all
from replication.replays import play_pruning
from replication.run import GradedTraces, Run
from replication.text import count, rate

CHOICES: tuple[Choosing, ...] = ("random", "first", "medoid")


@dataclass(frozen=True)
class Choice:
    """One way to choose representatives, on one reasoner's questions."""

    name: str
    cell: Cell
    against_paper: Interval


def variants(config: ClusteringConfig) -> dict[str, ClusteringConfig]:
    """Return the paper's choice first, then the others, by name."""
    most = config.max_representatives
    found = {f"up to {most}, random (paper)": replace(config, choice="random")}
    for choice in CHOICES:
        found[f"1, {choice}"] = replace(config, max_representatives=1, choice=choice)
    found[f"up to {most}, first"] = replace(config, choice="first")
    return found


def play_choices(
    run: Run, traces: GradedTraces, questions: Sequence[StoredQuestion]
) -> list[Choice]:
    """Return the paper's rule under every choice; differences are paired with the paper's."""
    config, cells = run.profile.pruning.config(), {}
    for name, clustering in variants(config.clustering).items():
        play = play_pruning(questions, replace(config, clustering=clustering))
        cells[name] = play_all(run, name, traces, play)
    paper = next(iter(cells.values()))
    return [Choice(name, cell, difference(run, cell, paper)) for name, cell in cells.items()]


def representatives_table(
    run: Run, choices: dict[str, list[Choice]], judge_cost: float, *, name: str = "representatives"
) -> Table:
    """Return cost and accuracy of every choice on every reasoner."""
    rows = [
        (model, one.name, count(one.cell.judge.mean(axis=0).sum()), rate(one.cell.total_share(run)),
         rate(one.cell.total_share(run, judge_cost)), rate(one.cell.accuracy(run)),
         rate(one.against_paper))
        for model, found in choices.items() for one in found
    ]  # fmt: skip
    return Table(
        name,
        f"Which members of a cluster the judge reads. {run.profile.caption}",
        ("reasoner", "representatives", "judge's tokens", "% of cons@N, gross", "% of cons@N, net",
         "accuracy (%)", "against the paper's choice (points)"),
        tuple(rows),
        (f"Net adds the judge's prompt tokens at {judge_cost:.3g} of a reasoner's token. 'First' "
         "is the trace that opened the cluster; 'medoid' the one that met its cluster's members "
         "with the highest mean score.",),
    )  # fmt: skip


def representatives_words(run: Run, choices: dict[str, list[Choice]]) -> str:
    """Return what one fixed representative saves and costs."""
    sentences = []
    for model, found in choices.items():
        paper, first = found[0].cell, next(c for c in found if c.name == "1, first")
        share = first.cell.judge.sum() / max(1.0, paper.judge.sum())
        sentences.append(
            f"On {model} one fixed representative asks {100 * share:.0f} % of the judge's tokens "
            f"and changes accuracy by {rate(first.against_paper)} points."
        )
    return " ".join(sentences)
