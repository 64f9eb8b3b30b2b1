"""Figure 2a: how often two traces of one question reach the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deepprune_core.metrics import Interval, bootstrap_mean, redundancy
from deepprune_core.pairs import PairSet
from deepprune_core.reporting.tables import Table
from replication.reporting.evidence import RESERVED
from replication.reporting.plots import Dot, redundancy_dots
from replication.reporting.reference import load_reference
from replication.run import GradedTraces, Run
from replication.text import NOTHING, count, percent, rate


@dataclass(frozen=True)
class RedundancyRow:
    """One reasoner on one benchmark (or all): shares with intervals over questions.

    ``micro`` weighs pairs, ``macro`` questions; ``ungradable``: share of traces without a
    usable answer; ``unanimous``: share of questions whose traces all agree. ``reservation``:
    why the traces are no fair sample, where they are not.
    """

    model: str
    benchmark: str
    micro: Interval
    macro: Interval
    num_pairs: int
    unanimous: float
    ungradable: float
    reservation: str = ""


def redundancy_row(run: Run, traces: GradedTraces, benchmark: str = "all") -> RedundancyRow:
    """Return a reasoner's redundancy on one benchmark or on all questions."""
    wanted = np.flatnonzero((traces.benchmark_of == benchmark) | (benchmark == "all"))
    pairs = traces.pairs.take(np.isin(traces.pairs.question, wanted))
    found = redundancy(pairs)
    rng = run.rng("redundancy", traces.model, benchmark)
    classes = np.concatenate([traces.graded[q].classes for q in wanted])
    return RedundancyRow(
        traces.model,
        benchmark,
        _micro_interval(pairs, rng, run.profile.bootstrap_draws),
        bootstrap_mean(found.per_question, rng=rng, draws=run.profile.bootstrap_draws),
        found.num_pairs,
        float(np.mean(found.per_question == 1)) if found.num_questions else float("nan"),
        float(np.mean(classes < 0)),
        run.profile.traces.reservations.get(traces.model, ""),
    )


def _micro_interval(pairs: PairSet, rng: np.random.Generator, draws: int) -> Interval:
    """Return the share of same-answer pairs; whole questions are resampled."""
    if not len(pairs):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    _, question = np.unique(pairs.question, return_inverse=True)
    same, count = np.bincount(question, weights=pairs.same), np.bincount(question)
    rows = rng.integers(0, len(count), (draws, len(count)))
    drawn = same[rows].sum(axis=1) / count[rows].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(pairs.same.mean()), float(low), float(high), len(count))


def redundancy_rows(run: Run) -> tuple[RedundancyRow, ...]:
    """Return every reasoner on all questions, then on each benchmark."""
    rows = [redundancy_row(run, traces) for traces in run.redundancy]
    for traces in run.redundancy:
        if len(traces.traces.benchmarks) > 1:
            rows += [redundancy_row(run, traces, name) for name in traces.traces.benchmarks]
    return tuple(rows)


def average_row(run: Run) -> Interval:
    """Return the share over all reasoners' pairs; a question keeps all reasoners in a draw.

    The same question of the same benchmark is one question, whichever file it is in.
    """
    keys = [
        (one.traces.questions[q].benchmark, one.traces.questions[q].question_id)
        for one in run.redundancy
        for q in one.pairs.question.tolist()
    ]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    question = np.array([number[key] for key in keys])
    same = np.concatenate([t.pairs.same for t in run.redundancy])
    nothing = np.zeros(len(question), dtype=int)
    pairs = PairSet(question, nothing, nothing, same)
    return _micro_interval(pairs, run.rng("redundancy", "average"), run.profile.bootstrap_draws)


def redundancy_figure(run: Run, rows: Sequence[RedundancyRow]) -> Figure:
    """Return Figure 2a: the paper's reasoners, then ours benchmark by benchmark."""
    groups = {"paper": [Dot(model, share) for model, share in load_reference().figure2a.items()]}
    only = {one.model: one.traces.benchmarks for one in run.redundancy}
    for row in rows:
        many = len(only[row.model]) > 1
        if many and row.benchmark == "all":
            continue
        dot = Dot(
            f"{row.model}, {row.micro.num_questions} questions",
            row.micro.value, row.micro.low, row.micro.high, hollow=bool(row.reservation),
        )  # fmt: skip
        groups.setdefault(row.benchmark if many else only[row.model][0], []).append(dot)
    return redundancy_dots(groups)


def redundancy_table(run: Run, rows: Sequence[RedundancyRow]) -> Table:
    """Return Figure 2a's numbers as a table, the paper's reasoners first."""
    reference = load_reference()
    cells: list[tuple[str, ...]] = [
        ("paper", model, "all", f"{100 * share:.1f}", NOTHING, NOTHING, NOTHING, NOTHING)
        for model, share in reference.figure2a.items()
    ]
    share = 100 * reference.figure2a_average
    mean = 100 * float(np.mean(list(reference.figure2a.values())))
    cells.append(("paper", "average as reported", "all", f"{share:.1f}", *[NOTHING] * 4))
    cells.append(("paper", "mean of the four", "all", f"{mean:.2f}", *[NOTHING] * 4))
    cells += [
        (
            "ours", f"{row.model}{RESERVED if row.reservation else ''}", row.benchmark,
            rate(row.micro), rate(row.macro),
            percent(row.unanimous), percent(row.ungradable),
            f"{row.micro.num_questions} q, {count(row.num_pairs)} pairs",
        )
        for row in rows
    ]  # fmt: skip
    average, asked = average_row(run), sum(len(one.pairs) for one in run.redundancy)
    cells.append(
        ("ours, pooled", "all reasoners", "all", rate(average), *[NOTHING] * 3,
         f"{average.num_questions} q, {count(asked)} pairs")
    )  # fmt: skip
    return Table(
        name="redundancy",
        caption=f"Same-answer pairs in percent (Figure 2a). {run.profile.caption}",
        columns=(
            "source", "reasoner", "benchmark", "same answer, pairs", "same answer, questions",
            "unanimous questions", "ungradable traces", "N",
        ),
        rows=tuple(cells),
        notes=(
            "Intervals: 95 %, from resampling questions.",
            *dict.fromkeys(
                f"{RESERVED} {row.model}: {row.reservation}." for row in rows if row.reservation
            ),
        ),
    )  # fmt: skip


def redundancy_words(run: Run, rows: Sequence[RedundancyRow]) -> str:
    """Return what agrees with the paper and what does not."""
    reference, whole = load_reference(), [row for row in rows if row.benchmark == "all"]
    average = average_row(run)
    mean = float(np.mean([row.micro.value for row in whole]))
    run.headline(
        "01",
        ("Pairs of traces with the same answer (%)", f"{100 * reference.figure2a_average:.1f}",
         rate(average)),
    )  # fmt: skip
    spread = max(reference.figure2a.values()) - min(reference.figure2a.values())
    return run.note(
        "01",
        f"Over all reasoners {rate(average)} % of pairs reach the same answer "
        f"({average.num_questions} questions)"
        + (f", and {percent(mean)} % where each reasoner counts alike" if len(whole) > 1 else "")
        + f"; the paper reports {100 * reference.figure2a_average:.1f} %.",
        *_spread_words(whole, spread),
    )


def _spread_words(rows: Sequence[RedundancyRow], paper_spread: float) -> list[str]:
    """Return how far the reasoners are apart, where there is more than one."""
    if len(rows) < 2:
        return []
    high, low = max(rows, key=lambda r: r.micro.value), min(rows, key=lambda r: r.micro.value)
    return [
        f"Our reasoners lie between {percent(low.micro.value)} % ({low.model}) and "
        f"{percent(high.micro.value)} % ({high.model}), the paper's are {100 * paper_spread:.1f} "
        f"points apart: redundancy differs between reasoners here as there."
    ]
