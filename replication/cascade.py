"""Reading once beside reading pairs: skill, and what a cascade of the two costs and gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deepprune_core.judging.cascade import CascadeJudge, unclear, width_for
from deepprune_core.judging.encode_once import EncodeOnceJudge, texts_of
from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.pair_data import JudgeData
from deepprune_core.metrics import Interval, auroc, bootstrap
from deepprune_core.reporting.tables import Table
from replication.encode_once import NAME
from replication.judges import online_spec, test_data, validation_data
from replication.reporting.plots_cascade import CascadeLine, cascade_lines
from replication.run import Run
from replication.skill import JudgeResult, assess, within_values
from replication.table1 import bound_rows, ceilings, knowing_judge, skill_columns, skill_row
from replication.text import number, percent

PAIRWISE, CASCADE = "pairwise", "cascade"
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
ENOUGH = 0.005  # the cascade may stay this far below the pairwise judge on development questions


@dataclass(frozen=True)
class Step:
    """One width of the cascade, on the test pairs: means over reasoners.

    ``asked``: share of pairs that the pairwise judge reads; ``tokens``: prompt tokens of both
    judges over the pairwise judge's alone.
    """

    width: float
    asked: float
    tokens: float
    pooled: float
    within: float


@dataclass(frozen=True)
class Compared:
    """Both judges and their cascade on the unseen reasoners, and the cascade at every share.

    ``loss``: pooled AUROC of reading once minus that of reading pairs, paired by question.
    """

    pairwise: JudgeResult
    once: JudgeResult
    cascade: JudgeResult
    steps: tuple[Step, ...]
    loss: Interval
    width: float


def chosen_width(once: Judge, pairwise: Judge, held_out: JudgeData) -> float:
    """Return the least width that loses at most ``ENOUGH`` AUROC on the development questions."""
    cheap = once.score(held_out.inputs)
    whole = auroc(held_out.same, pairwise.score(held_out.inputs))
    for width in (width_for(cheap, share) for share in SHARES):
        scores = CascadeJudge(once, pairwise, width).score(held_out.inputs)
        if auroc(held_out.same, scores) >= whole - ENOUGH:
            return width
    return float("inf")


def compare_judges(run: Run, once: EncodeOnceJudge) -> Compared:
    """Return both judges and their cascade on the unseen reasoners."""
    cut, tokenizer = run.cuts.online(), once.encoder.tokenizer
    data, held_out = test_data(run, cut, tokenizer), validation_data(run, cut, tokenizer)
    own = run.work / "scores" / "cascade.parquet"
    pairwise = knowing_judge(run, online_spec(run), data, own)
    width = chosen_width(once, pairwise, held_out)
    widths = [width_for(once.score(held_out.inputs), share) for share in SHARES]
    paired, alone = assess(run, PAIRWISE, pairwise, data, cut), assess(run, NAME, once, data, cut)
    both = assess(run, CASCADE, CascadeJudge(once, pairwise, width), data, cut)
    pairwise.save()
    read = [_Read.of(once, pairwise, part) for part in data]
    steps = tuple(_step(once, pairwise, data, read, one) for one in widths)
    return Compared(paired, alone, both, steps, paired_loss(run, alone, paired), width)


@dataclass(frozen=True)
class _Read:
    """What reading a reasoner's test pairs costs: all prefixes once, and each pair (n,)."""

    once: int
    pairs: np.ndarray

    @classmethod
    def of(cls, once: EncodeOnceJudge, pairwise: Judge, data: JudgeData) -> _Read:
        texts = {text for pair in data.inputs for text in texts_of(pair)}
        return cls(int(once.text_tokens(sorted(texts)).sum()), pairwise.num_tokens(data.inputs))


def _step(
    once: EncodeOnceJudge,
    pairwise: Judge,
    data: Sequence[JudgeData],
    read: Sequence[_Read],
    width: float,
) -> Step:
    """Return the cascade at one width; every prefix counts once, at its own length."""
    rows = []
    for part, cost in zip(data, read, strict=True):
        asked = unclear(once.score(part.inputs), width)
        scores = CascadeJudge(once, pairwise, width).score(part.inputs)
        spent = cost.once + cost.pairs[asked].sum()
        rows.append(
            (asked.mean(), spent / cost.pairs.sum(), auroc(part.same, scores),
             np.nanmean(within_values(part, scores)))
        )  # fmt: skip
    return Step(width, *(float(x) for x in np.mean(rows, axis=0)))


def paired_loss(run: Run, one: JudgeResult, other: JudgeResult) -> Interval:
    """Return the difference of two judges' pooled AUROC, a mean over reasoners."""
    owner = np.concatenate([np.full(len(p.data), i) for i, p in enumerate(one.parts)])
    same = np.concatenate([p.data.same for p in one.parts])
    groups = np.concatenate([p.data.groups for p in one.parts])
    mine, theirs = (np.concatenate([p.scores for p in r.parts]) for r in (one, other))

    def value(rows: np.ndarray) -> float:
        parts = [rows[owner[rows] == i] for i in range(len(one.parts))]
        return float(np.mean([auroc(same[r], mine[r]) - auroc(same[r], theirs[r]) for r in parts]))

    rng = run.rng("bootstrap", one.name, other.name)
    return bootstrap(value, groups, rng=rng, draws=run.profile.bootstrap_draws)


def skill_table(run: Run, found: Compared) -> Table:
    """Return the skill of reading pairs, reading once, and both."""
    results = (found.pairwise, found.once, found.cascade)
    columns = skill_columns("judge", found.once.parts)
    return Table(
        "encode_once",
        f"A judge that reads each prefix once, beside the paper's. {run.profile.caption}",
        columns,
        (*(skill_row(r, r.name) for r in results), *bound_rows(run, results, len(columns))),
        (f"N: {found.once.num_pairs} pairs, {found.once.auroc.num_questions} questions. Reading "
         f"once minus reading pairs: {number(found.loss)}, paired by question. The cascade's width "
         f"was chosen on the development questions: the least that loses at most {ENOUGH} there.",),
    )  # fmt: skip


def cascade_table(run: Run, found: Compared) -> Table:
    """Return cost against AUROC of the cascade."""
    rows = [
        (percent(s.asked), percent(s.tokens), f"{s.pooled:.3f}", f"{s.within:.3f}",
         "chosen" if s.width == found.width else "")
        for s in found.steps
    ]  # fmt: skip
    return Table(
        "cascade",
        "The cheap judge decides the clear pairs, the pairwise one reads the others. "
        f"{run.profile.caption}",
        ("pairs read (%)", "judges' tokens, % of reading all pairs", "AUROC", "within question",
         ""),
        tuple(rows),
        (f"N: {found.once.num_pairs} pairs of {run.profile.traces.test_per_question} traces a "
         "question; with more traces a question the pairs grow and the share of tokens falls.",),
    )  # fmt: skip


def cascade_panel(run: Run, found: Compared) -> Figure:
    """Return the figure of the cascade."""
    tokens = [s.tokens for s in found.steps]
    at = next((i for i, s in enumerate(found.steps) if s.width == found.width), None)
    lines = [
        CascadeLine("all pairs (the paper's AUROC)", tokens, [s.pooled for s in found.steps], at),
        CascadeLine("within questions", tokens, [s.within for s in found.steps], at),
    ]
    tops = [top for c in ceilings(run, [found.once]) for top in (c.auroc.value, c.within.value)]
    return cascade_lines(lines, tops)


def skill_words(run: Run, found: Compared) -> str:
    """Return whether reading once keeps the pairwise judge's skill."""
    close = found.loss.value >= -0.01
    step = next((s for s in found.steps if s.width == found.width), found.steps[-1])
    return run.note(
        "08",
        f"Reading once reaches an AUROC of {number(found.once.auroc)}, within questions "
        f"{number(found.once.within)}; reading pairs {number(found.pairwise.auroc)} and "
        f"{number(found.pairwise.within)}. The difference is {number(found.loss)}, "
        + ("within" if close else "more than") + " the 0.01 that was hoped for.",
        f"A cascade that has the pairwise judge read {percent(step.asked)} % of pairs reaches "
        f"{number(found.cascade.auroc)} and {number(found.cascade.within)}.",
    )  # fmt: skip
