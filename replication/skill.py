"""How well a judge tells pairs apart: its AUROCs and TNR, and between which bounds they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.pair_data import JudgeData
from deepprune_core.metrics import (
    Interval,
    auroc,
    bootstrap,
    bootstrap_mean,
    question_oracle,
    tnr_at_fnr,
    tnr_over_fnr,
)
from deepprune_core.truncation import Truncation
from replication.reporting.plots import Curve
from replication.run import Run

CONTRADICTIONS = "reader of contradictions"


@dataclass(frozen=True)
class Tested:
    """A judge's scores on one reasoner's pairs, with intervals over questions.

    ``within``: mean AUROC over the questions that have both kinds of pair.
    """

    data: JudgeData
    scores: np.ndarray
    auroc: Interval
    tnr: Interval
    within: Interval

    @property
    def model(self) -> str:
        return self.data.model

    @property
    def oracle(self) -> float:
        """Pooled AUROC of the question's own agreement rate, which reads no trace."""
        return auroc(self.data.same, question_oracle(self.data.groups, self.data.same))

    @property
    def weighted_within(self) -> float:
        """AUROC within questions, each weighing as its same pairs times its different ones."""
        same = np.bincount(self.data.groups, self.data.same)
        weights = same * (np.bincount(self.data.groups) - same)
        values = np.nan_to_num(within_values(self.data, self.scores))
        return float((weights * values).sum() / weights.sum()) if weights.any() else float("nan")


def within_values(data: JudgeData, scores: np.ndarray) -> np.ndarray:
    """Return each question's own AUROC: ``(questions,)``, NaN without both kinds of pair."""
    return np.array(
        [
            auroc(data.same[rows], scores[rows])
            for rows in (data.groups == q for q in range(int(data.groups.max()) + 1))
        ]
    )


def tested(run: Run, data: JudgeData, scores: np.ndarray) -> Tested:
    """Return a judge's skill on one reasoner, with bootstrap intervals over questions."""
    draws = run.profile.bootstrap_draws

    def interval(statistic: Callable[[np.ndarray, np.ndarray], float]) -> Interval:
        return bootstrap(
            lambda rows: statistic(data.same[rows], scores[rows]),
            data.groups, rng=run.rng("bootstrap", data.model), draws=draws,
        )  # fmt: skip

    within = bootstrap_mean(
        within_values(data, scores), rng=run.rng("bootstrap", data.model), draws=draws
    )
    return Tested(data, scores, interval(auroc), interval(tnr_at_fnr), within)


def shared_groups(parts: Sequence[JudgeData]) -> np.ndarray:
    """Return the question of each pair of several reasoners, as numbers from 0: (pairs,).

    A question at one place in two sets, with one text, is the same; others are not.
    """
    keys: list[tuple[int, str]] = []
    for part in parts:
        texts: dict[int, str] = {}
        for group, pair in zip(part.groups.tolist(), part.inputs, strict=True):
            keys.append((group, texts.setdefault(group, pair.question)))
    order = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys])


Weighted = tuple[float, Sequence[np.ndarray]]
"""A judge's weight in a sum, and its scores of each reasoner's pairs."""


def mean_over_reasoners(
    run: Run,
    data: Sequence[JudgeData],
    judges: Sequence[Weighted],
    *names: str,
    statistic: Callable[[np.ndarray, np.ndarray], float] = auroc,
) -> Interval:
    """Return the mean over reasoners of a statistic of (same, scores), summed over judges.

    Weights of 1 and -1 give a difference of two judges. A draw takes a question with all its
    pairs, of all reasoners and for all judges; ``names`` give its random numbers.
    """
    owner = np.concatenate([np.full(len(one), i) for i, one in enumerate(data)])
    same = np.concatenate([one.same for one in data])
    scores = [(weight, np.concatenate(parts)) for weight, parts in judges]

    def value(rows: np.ndarray) -> float:
        mine = [rows[owner[rows] == i] for i in range(len(data))]
        return float(np.mean([sum(w * statistic(same[r], s[r]) for w, s in scores) for r in mine]))

    rng = run.rng("bootstrap", *names)
    return bootstrap(value, shared_groups(data), rng=rng, draws=run.profile.bootstrap_draws)


def average(run: Run, parts: Sequence[Tested]) -> tuple[Interval, Interval, Interval]:
    """Return the mean AUROC, TNR and AUROC within questions over reasoners."""
    data, judge = [p.data for p in parts], [(1.0, [p.scores for p in parts])]
    pooled, tnr = (
        mean_over_reasoners(run, data, judge, "average", statistic=statistic)
        for statistic in (auroc, tnr_at_fnr)
    )
    return pooled, tnr, _mean_within(run, parts)


def _mean_within(run: Run, parts: Sequence[Tested]) -> Interval:
    """Return the mean over reasoners of their AUROC within questions."""
    found = [within_values(p.data, p.scores) for p in parts]
    groups, owner = (
        shared_groups([p.data for p in parts]),
        np.repeat(np.arange(len(parts)), [len(p.data) for p in parts]),
    )
    table = np.full((len(parts), int(groups.max()) + 1), np.nan)
    for i, part in enumerate(parts):
        table[i, groups[owner == i]] = found[i][part.data.groups]
    known = np.flatnonzero(~np.isnan(table).all(axis=0))
    if not len(known) or np.isnan(table).all(axis=1).any():
        return Interval(float("nan"), float("nan"), float("nan"), 0)

    def value(columns: np.ndarray) -> float:
        drawn = [row[~np.isnan(row)] for row in table[:, known[columns]]]
        return float(np.mean([r.mean() for r in drawn])) if all(map(len, drawn)) else float("nan")

    rng = run.rng("bootstrap", "average", "within")
    return bootstrap(value, np.arange(len(known)), rng=rng, draws=run.profile.bootstrap_draws)


@dataclass(frozen=True)
class JudgeResult:
    """A judge on every unseen reasoner and on their average."""

    name: str
    cut: Truncation
    row: str
    parts: tuple[Tested, ...]
    auroc: Interval
    tnr: Interval
    within: Interval

    @property
    def curve(self) -> Curve:
        """The mean of the reasoners' ROC curves at each false negative rate.

        The area under it is the mean AUROC, its height at 0.2 the mean TNR@0.2.
        """
        fnr = np.linspace(0, 1, 501)
        tnr = [tnr_over_fnr(p.data.same, p.scores, fnr) for p in self.parts]
        return Curve(self.name, fnr, np.mean(tnr, axis=0), self.auroc)

    @property
    def oracle(self) -> float:
        """Mean over reasoners of the question oracle's pooled AUROC."""
        return float(np.mean([part.oracle for part in self.parts]))

    @property
    def weighted_within(self) -> float:
        """Mean over reasoners of the AUROC within questions, each weighing n₊ · n₋."""
        return float(np.mean([part.weighted_within for part in self.parts]))

    @property
    def num_pairs(self) -> int:
        return sum(len(part.data) for part in self.parts)


def assess(
    run: Run, name: str, judge: Judge, data: Sequence[JudgeData], cut: Truncation, row: str = ""
) -> JudgeResult:
    """Return a judge's result on the test pairs of all unseen reasoners."""
    return assess_scores(run, name, [judge.score(part.inputs) for part in data], data, cut, row)


def assess_scores(
    run: Run, name: str, scores: Sequence[np.ndarray], data: Sequence[JudgeData], cut: Truncation,
    row: str = "",
) -> JudgeResult:  # fmt: skip
    """Return the same from scores that are there, (pairs,) a reasoner."""
    parts = tuple(tested(run, *part) for part in zip(data, scores, strict=True))
    return JudgeResult(name, cut, row, parts, *average(run, parts))


def contradiction_reader(
    run: Run, data: Sequence[JudgeData], cut: Truncation
) -> JudgeResult | None:
    """Return what counting the terms that two prefixes read differently gives.

    It knows the miniature world's language, and is a floor for judges there; None elsewhere.
    """
    if not run.profile.contradictions:
        return None
    from replication.miniature.contradictions import ReadingJudge

    return assess(run, CONTRADICTIONS, ReadingJudge(), data, cut)
