"""Floor, judges and ceiling side by side: what beginnings hold, and who can read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.judging.pair_data import judge_data
from deepprune_core.reporting.plots import save
from deepprune_core.reporting.plots_online import Shares, share_lines
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Truncation
from replication.own_states import states_judges
from replication.readers import EMBEDDINGS, NUMBERS, embedding_judge
from replication.rollouts import CEILING, rolled_cuts, rolled_traces, rollouts_settings
from replication.run import Run
from replication.skill import JudgeResult, assess
from replication.text import number, percent

HALF = "ceiling, half of the rollouts"


def what_is_known(run: Run, tokenizer: Any) -> list[JudgeResult]:
    """Return every reader's skill on the pairs of the rollouts, cut by cut, shortest first.

    Readers are asked at all cuts of the judge from own states too, where there is no ceiling.
    """
    settings, own = rollouts_settings(run), run.profile.judge.own_states
    traces, found = rolled_traces(run), []
    rolled = {one.cut.k: one for one in rolled_cuts(run, tokenizer)}
    for k in sorted({*rolled, *(own.tokens if rolled and own else ())}):
        cut, judges = Truncation("tokens", k), dict[str, Judge]()
        known = rolled.get(k)
        data = known.data if known else judge_data(traces.traces, traces.pairs, cut, tokenizer)
        judges[NUMBERS] = NumberOverlapJudge()
        if k in run.cuts.embedding_tokens:
            judges[EMBEDDINGS] = embedding_judge(run, cut, tokenizer)
        if own is not None and k in own.tokens:
            judges.update(reversed(states_judges(run, cut).items()))
        if known:
            judges[HALF] = known.judge(settings.continuations // 2)
            judges[CEILING] = known.judge(settings.continuations)
        found += [assess(run, name, judge, [data], cut) for name, judge in judges.items()]
    return found


def known_table(run: Run, known: Sequence[JudgeResult]) -> Table:
    """Return who ranks pairs how well, between floor and ceiling."""
    settings = rollouts_settings(run)
    top = {r.cut: r.within.value for r in known if r.name == CEILING}
    floor = {r.cut: r.within.value for r in known if r.name == NUMBERS}
    rows = []
    for result in known:
        low, high = floor[result.cut], top.get(result.cut, float("nan"))
        way = (result.within.value - low) / (high - low) if high > low else float("nan")
        rows.append(
            (result.cut.label, percent(result.parts[0].data.share, 0), result.name,
             number(result.auroc), number(result.within), percent(way, 0))
        )  # fmt: skip
    first = known[0]
    return Table(
        "known",
        f"What beginnings hold, and who can read it: floor, judges, ceiling. {run.profile.caption}",
        ("truncation", "of a trace (%)", "reader", "AUROC pooled", "within question",
         "way to the ceiling (%)"),
        tuple(rows),
        (f"N: {first.num_pairs} pairs, {first.within.num_questions} questions that have both kinds "
         f"of pair among their first {settings.prefixes} traces. The ceiling: "
         f"{settings.continuations} continuations of each prefix by its own reasoner; the chance "
         "that two of their ends agree. Half of them show how far few rollouts blur it. The way "
         f"goes from {NUMBERS} to the ceiling, within questions.",),
    )  # fmt: skip


def known_figure(known: Sequence[JudgeResult]) -> Figure:
    """Return AUROC within questions against the share of a trace that is read."""
    lines: dict[str, Shares] = {}
    for result in sorted(known, key=lambda r: r.name == CEILING):
        if result.name != HALF:
            line = lines.setdefault(result.name, Shares(result.name, [], []))
            line.share.append(result.parts[0].data.share)
            line.values.append(result.within)
    return share_lines(list(lines.values()))


def known_words(run: Run, known: Sequence[JudgeResult]) -> str:
    """Return what the beginnings hold and how much of it the best reader sees."""
    sentences = []
    for top in (r for r in known if r.name == CEILING):
        readers = [r for r in known if r.cut == top.cut and r.name not in (HALF, CEILING)]
        best = max(readers, key=lambda r: r.within.value)
        floor = next(r for r in readers if r.name == NUMBERS)
        sentences.append(
            f"After {top.cut.label}, {percent(top.parts[0].data.share, 0)} % of a trace, its own "
            f"reasoner's rollouts rank pairs within questions with an AUROC of "
            f"{number(top.within)}: that is the ceiling of any judge. {NUMBERS.capitalize()}, the "
            f"floor, has {number(floor.within)}"
            + (f"; the best of our readers, {best.name}, {number(best.within)}."
               if best is not floor else ", and no reader of ours more.")
        )  # fmt: skip
    return run.note("07-known", *sentences)


def what_can_be_known(run: Run, tokenizer: Any) -> Table | str:
    """Write and return floor, judges and ceiling, or say why there is none."""
    if run.profile.rollouts is None:
        return "Left out: the profile has no rollouts."
    if not (known := what_is_known(run, tokenizer)):
        return f"No rollouts yet; run `make rollouts PROFILE={run.profile.name}`."
    save(known_figure(known), run.out, "known")
    known_words(run, known)
    return write_table(known_table(run, known), run.out)
