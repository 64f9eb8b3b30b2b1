"""One visible pair and one visible question, for the notebooks that do the method by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from deepprune_core.clustering import Clustering
from deepprune_core.focal import focal_loss
from deepprune_core.reporting.plots import PALETTE, figure, styled
from replication.judges import adapter_folder, is_trained, online_spec, open_judge, test_data
from replication.run import Run
from replication.untrained import judge_tokenizer


@dataclass(frozen=True)
class OnePair:
    """A question, both prefixes as the judge reads them, and whether their traces agreed."""

    question: str
    first: str
    second: str
    same: bool

    @property
    def sides(self) -> tuple[tuple[str, str], ...]:
        return ("first", self.first), ("second", self.second)


def one_pair(run: Run) -> OnePair:
    """Return a pair of the first test question that has both kinds, one that disagrees."""
    data = test_data(run, run.cuts.online(), judge_tokenizer(run))[0]
    row = int(np.flatnonzero(~data.same)[0])
    pair = data.inputs[row]
    return OnePair(pair.question, pair.first, pair.second, bool(data.same[row]))


@styled
def loss_curves(gammas: Sequence[float]) -> Figure:
    """Return the loss of a pair by the probability that the judge gives its true label."""
    drawn = figure(1, size=(5.6, 3.6))
    axes = drawn.axes[0]
    p = torch.linspace(0.02, 0.98, 97)
    logits = torch.stack([torch.zeros_like(p), torch.logit(p)], dim=1)
    for i, gamma in enumerate(gammas):
        loss = focal_loss(
            logits, torch.ones(len(p), dtype=torch.long), gamma=gamma, alpha=None,
            reduction="none",
        )  # fmt: skip
        label = "cross-entropy" if gamma == 0 else f"focal, γ = {gamma:g}"
        axes.plot(p, loss, color=PALETTE[i], label=label)
    axes.set(xlabel="probability of the true label", ylabel="loss (nats)")
    axes.legend()
    return drawn


@dataclass(frozen=True)
class JudgedQuestion:
    """All pairs of a question: ``scores`` and ``same``, (n,), and the traces of each pair."""

    question: str
    first: np.ndarray
    second: np.ndarray
    scores: np.ndarray
    same: np.ndarray


def judged_question(run: Run, which: int = 0) -> JudgedQuestion:
    """Return the ``which``-th test question with both kinds of pair, read by the trained judge."""
    tokenizer, traces = judge_tokenizer(run), run.unseen[0]
    data = test_data(run, run.cuts.online(), tokenizer)[0]
    mixed = [q for q in np.unique(data.groups) if 0 < data.same[data.groups == q].mean() < 1]
    rows = np.flatnonzero(data.groups == mixed[which])
    spec = online_spec(run)
    adapter = adapter_folder(run, spec) if is_trained(run, spec) else None
    judge = open_judge(
        run, adapter, run.work / "scores" / "by-hand.parquet",
        autocast=run.profile.judge.autocast,
    )  # fmt: skip
    inputs = [data.inputs[i] for i in rows]
    scores = judge.score(inputs)
    judge.save()
    pairs = traces.pairs.take(rows)
    return JudgedQuestion(inputs[0].question, pairs.first, pairs.second, scores, pairs.same)


@styled
def pair_squares(asked: JudgedQuestion) -> Figure:
    """Return what the judge said of each pair of traces, and what was true, as two squares."""
    size = int(asked.second.max()) + 1
    drawn = figure(2, size=(3.6, 3.4))
    for axes, values, title in (
        (drawn.axes[0], asked.scores, "the judge: P(same answer)"),
        (drawn.axes[1], asked.same.astype(float), "the truth: same answer"),
    ):
        square = np.full((size, size), np.nan)
        square[asked.first, asked.second] = square[asked.second, asked.first] = values
        axes.imshow(square, vmin=0, vmax=1, cmap="cividis")
        axes.set(title=title, xlabel="trace", xticks=range(size), yticks=range(size))
        axes.grid(visible=False)
        for i, j, value in zip(asked.second, asked.first, values, strict=True):
            axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=8,
                      color="white" if value < 0.6 else "black")  # fmt: skip
    return drawn


def told(found: Clustering, classes: np.ndarray) -> str:
    """Return who joined whom, in order of arrival, with the best similarity that each met."""
    place = {t: c for c, members in enumerate(found.clusters) for t in members}
    order = sorted(place)
    lines = [
        f"trace {t}: "
        + ("opens the first cluster" if np.isnan(similarity) else
           f"best similarity {similarity:.2f}, "
           + (f"opens cluster {place[t]}" if found.clusters[place[t]][0] == t
              else f"joins cluster {place[t]}"))
        + f"; its answer will be {classes[t]}"
        for t, similarity in zip(order, found.similarity, strict=True)
    ]  # fmt: skip
    return "\n".join(lines)
