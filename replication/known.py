"""Floor, judges and ceiling side by side: what beginnings hold, and who can read it."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.reporting.plots import save
from deepprune_core.reporting.plots_online import Shares, share_lines
from deepprune_core.reporting.tables import Table, write_table
from replication.own_states import states_judges
from replication.readers import NUMBERS
from replication.rollouts import CEILING, RolledCut, rolled_cuts, rollouts_settings
from replication.run import Run
from replication.skill import JudgeResult, assess
from replication.text import number, percent

Known = list[tuple[RolledCut, JudgeResult]]
HALF = "ceiling, half of the rollouts"


def what_is_known(run: Run, tokenizer: Any) -> Known:
    """Return every reader's skill on the pairs of the rollouts, cut by cut, shortest first."""
    settings, found = rollouts_settings(run), []
    for rolled in sorted(rolled_cuts(run, tokenizer), key=lambda one: one.cut.k):
        judges: dict[str, Judge] = {NUMBERS: NumberOverlapJudge()}
        if run.profile.judge.own_states is not None:
            judges.update(states_judges(run, rolled.cut))
        judges[HALF] = rolled.judge(settings.continuations // 2)
        judges[CEILING] = rolled.judge(settings.continuations)
        found += [
            (rolled, assess(run, name, judge, [rolled.data], rolled.cut))
            for name, judge in judges.items()
        ]
    return found


def known_table(run: Run, known: Known) -> Table:
    """Return who ranks pairs how well, between floor and ceiling."""
    settings = rollouts_settings(run)
    top = {r.cut: r.within.value for _, r in known if r.name == CEILING}
    floor = {r.cut: r.within.value for _, r in known if r.name == NUMBERS}
    rows = []
    for rolled, result in known:
        low, high = floor[result.cut], top[result.cut]
        way = (result.within.value - low) / (high - low) if high > low else float("nan")
        rows.append(
            (result.cut.label, percent(rolled.data.share, 0), result.name, number(result.auroc),
             number(result.within), percent(way, 0))
        )  # fmt: skip
    first = known[0][1]
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


def known_figure(known: Known) -> Figure:
    """Return AUROC within questions against the share of a trace that is read."""
    lines: dict[str, Shares] = {}
    for rolled, result in known:
        if result.name != HALF:
            line = lines.setdefault(result.name, Shares(result.name, [], []))
            line.share.append(rolled.data.share)
            line.values.append(result.within)
    return share_lines(list(lines.values()))


def known_words(run: Run, known: Known) -> str:
    """Return what the beginnings hold and how much of it the best reader sees."""
    sentences = []
    for cut in dict.fromkeys(result.cut for _, result in known):
        mine = {r.name: (rolled, r) for rolled, r in known if r.cut == cut and r.name != HALF}
        rolled, top = mine.pop(CEILING)
        best = max((r for _, r in mine.values()), key=lambda r: r.within.value)
        sentences.append(
            f"After {cut.label}, {percent(rolled.data.share, 0)} % of a trace, the ceiling within "
            f"questions is {number(top.within)}; the best reader, {best.name}, has "
            f"{number(best.within)}."
        )
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
