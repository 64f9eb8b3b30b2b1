"""Floor, judges and ceiling side by side: what beginnings hold, and who can read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.judging.pair_data import judge_data
from deepprune_core.judging.score_cache import CachedJudge
from deepprune_core.judging.sentence_bert import SentenceBertJudge
from deepprune_core.reporting.plots import save
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Truncation
from replication.encode_once import has_once, once_result, open_once
from replication.judges import JudgeSpec, is_trained, test_data
from replication.own_states import states_judges
from replication.readers import EMBEDDINGS, NUMBERS, READ_ONCE, embedding_judge
from replication.reporting.evidence import CEILING
from replication.reporting.plots_online import Shares, share_lines
from replication.rollouts import RolledCut, all_rolled, rollouts_settings
from replication.run import GradedTraces, Run
from replication.skill import JudgeResult, assess, contradiction_reader
from replication.table1 import knowing_judge
from replication.text import number, percent
from replication.untrained import NAMES, zero_shot_judge
from replication.vectors import first_words
from replication.workflow.profile import ROOT

FEWER = "ceiling from {} a prefix"  # from fewer rollouts than there are
if TYPE_CHECKING:
    from deepprune_core.judging.encode_once import EncodeOnceJudge

TRAINED = "the trained judge of pairs"


def what_is_known(run: Run, tokenizer: Any) -> dict[str, list[JudgeResult]]:
    """Return every reader's skill on the pairs of the rollouts, cut by cut, by benchmark.

    The traces of many benchmarks go by their reasoner's name.
    """
    # Opening a judge hashes its base, so the jobs share one a cut.
    trained = cache(lambda cut: trained_judge(run, cut, tokenizer))
    untrained = zero_shot_judge(run) if run.profile.judge.zero_shot_scores else None
    once = open_once(run) if has_once(run) else None
    found = {
        title: _readers(run, traces, cuts, tokenizer, trained, untrained, once)
        for title, traces, cuts in all_rolled(run, tokenizer)
    }
    return {title: skills for title, skills in found.items() if skills}


def _readers(
    run: Run,
    traces: GradedTraces,
    cuts: Sequence[RolledCut],
    tokenizer: Any,
    trained_at: Callable[[Truncation], CachedJudge | None],
    untrained: CachedJudge | None,
    once: EncodeOnceJudge | None,
) -> list[JudgeResult]:
    """Return the readers of one job's prefixes, shortest first; none without rollouts.

    Readers are asked at all cuts of the judge from own states too, where there is no ceiling; that
    judge itself, and the untrained one, where they have read the prefixes. The trained judge's
    scores that do not ship with it are kept beside the rollouts.
    """
    settings, own = rollouts_settings(run), run.profile.judge.own_states
    found: list[JudgeResult] = []
    rolled = {one.cut.k: one for one in cuts}
    for k in sorted({*rolled, *(own.tokens if rolled and own else ())}):
        cut, judges = Truncation("tokens", k), dict[str, Judge]()
        known = rolled.get(k)
        data = known.data if known else judge_data(traces.traces, traces.pairs, cut, tokenizer)
        judges[NUMBERS] = NumberOverlapJudge()
        if k in run.cuts.embedding_tokens:
            judges[NAMES["sentence_bert"]] = SentenceBertJudge(first_words(run))
            judges[EMBEDDINGS] = embedding_judge(run, cut, tokenizer)
        if own is not None and k in own.tokens:
            states = reversed(states_judges(run, cut).items())
            judges.update((name, judge) for name, judge in states if judge.knows(data.inputs))
        if untrained is not None and untrained.knows(data.inputs):
            judges[NAMES["zero_shot"]] = untrained
        trained = trained_at(cut) if known else None
        if trained:
            judges[TRAINED] = trained
        if known:
            for m in fewer(settings.continuations):
                judges[FEWER.format(m)] = known.judge(m)
            judges[CEILING] = known.judge(settings.continuations)
        results = [assess(run, name, judge, [data], cut) for name, judge in judges.items()]
        if once is not None and known and cut == run.cuts.online():
            before = next(i for i, result in enumerate(results) if is_ceiling(result))
            results.insert(before, replace(once_result(run, once, [traces]), name=READ_ONCE))
        if rule := contradiction_reader(run, [data], cut):
            results.insert(1, rule)
        found += results
        if trained:
            trained.save()
    return found


def fewer(continuations: int) -> list[int]:
    """Return 2, 4, 8 and so on, below the number of rollouts that there are."""
    return [2**i for i in range(1, continuations.bit_length()) if 2**i < continuations]


def extrapolated(known: Sequence[JudgeResult], continuations: int) -> float:
    """Return the AUROC within questions that endless rollouts would have, at one cut.

    ``known``: the ceiling from growing numbers of rollouts. The agreement of m ends blurs as 1/m,
    so a line in 1/m is laid through them and read at 0; with one number of rollouts, that one's.
    """
    by_name = {r.name: r.within.value for r in known}
    points = [(1 / m, by_name[FEWER.format(m)]) for m in fewer(continuations)]
    points.append((1 / continuations, by_name[CEILING]))
    if len(points) == 1:
        return points[0][1]
    x, y = zip(*points, strict=True)
    return float(np.polyfit(x, y, deg=1)[1])


def trained_judge(run: Run, cut: Truncation, tokenizer: Any) -> CachedJudge | None:
    """Return the judge of pairs with both remedies at a cut, if it is trained."""
    spec = JudgeSpec(cut, focal=True, oversampling=True)
    if not (run.has_judges and is_trained(run, spec)):
        return None
    kept = (ROOT / rollouts_settings(run).file).with_name(f"{spec.name}.parquet")
    return knowing_judge(run, spec, test_data(run, cut, tokenizer), kept)


def is_ceiling(result: JudgeResult) -> bool:
    """Return whether a result comes from rollouts."""
    return result.name.startswith("ceiling")


def known_table(run: Run, known: Mapping[str, Sequence[JudgeResult]]) -> Table:
    """Return who ranks pairs how well, between floor and ceiling, by benchmark."""
    settings = rollouts_settings(run)
    rows = []
    for benchmark, readers in known.items():
        top = {r.cut: r.within.value for r in readers if r.name == CEILING}
        floor = {r.cut: r.within.value for r in readers if r.name == NUMBERS}
        for result in readers:
            low, high = floor[result.cut], top.get(result.cut, float("nan"))
            way = (result.within.value - low) / (high - low) if high > low else float("nan")
            rows.append(
                (benchmark, result.cut.label, percent(result.parts[0].data.share, 0), result.name,
                 number(result.auroc), number(result.within), percent(way, 0))
            )  # fmt: skip
    counts = "; ".join(
        f"{benchmark}: {readers[0].num_pairs} pairs, {readers[0].within.num_questions} questions"
        for benchmark, readers in known.items()
    )
    return Table(
        "known",
        f"What beginnings hold, and who can read it: floor, judges, ceiling. {run.profile.caption}",
        ("benchmark", "truncation", "of a trace (%)", "reader", "AUROC pooled", "within question",
         "way to the ceiling (%)"),
        tuple(rows),
        (f"N: {counts} that have both kinds of pair among their first {settings.prefixes} traces. "
         "The ceiling: "
         f"{settings.continuations} continuations of each prefix by its own reasoner; the chance "
         "that two of their ends agree. Fewer of them show how far few rollouts blur it. The way "
         f"goes from {NUMBERS} to the ceiling, within questions.",),
    )  # fmt: skip


def known_figure(known: Mapping[str, Sequence[JudgeResult]]) -> Figure:
    """Return AUROC within questions against the share of a trace that is read, by benchmark."""
    panels: dict[str, list[Shares]] = {}
    for benchmark, readers in known.items():
        lines: dict[str, Shares] = {}
        for result in sorted(readers, key=lambda r: r.name == CEILING):
            if result.name == CEILING or not is_ceiling(result):
                line = lines.setdefault(result.name, Shares(result.name, [], []))
                line.share.append(result.parts[0].data.share)
                line.values.append(result.within)
        panels[benchmark] = list(lines.values())
    return share_lines(panels)


def known_words(run: Run, known: Mapping[str, Sequence[JudgeResult]]) -> str:
    """Return what the beginnings hold and how much of it the best reader sees."""
    sentences, continuations = [], rollouts_settings(run).continuations
    tops = [(name, r, readers) for name, readers in known.items() for r in readers]
    for benchmark, top, every in (one for one in tops if one[1].name == CEILING):
        readers = [r for r in every if r.cut == top.cut and not is_ceiling(r)]
        rolled = [r for r in every if r.cut == top.cut and is_ceiling(r)]
        best = max(readers, key=lambda r: r.within.value)
        floor = next(r for r in readers if r.name == NUMBERS)
        sentences.append(
            f"On *{benchmark}*, after {top.cut.label} ({percent(top.parts[0].data.share, 0)} % of "
            f"a trace): the floor, {NUMBERS}, {number(floor.within)}; "
            + (f"the best of our readers, {best.name}, {number(best.within)}; "
               if best is not floor else "no reader of ours more; ")
            + f"the ceiling {number(top.within)}, and "
            f"{extrapolated(rolled, continuations):.3f} if rollouts were endless."
        )  # fmt: skip
    about = (
        "How well two beginnings tell whether their traces will agree, as AUROC within questions. "
        "The ceiling of any judge comes from rollouts: the reasoner itself goes on from each "
        "beginning, many times."
    )
    return run.note("07-known", about, *sentences)


def what_can_be_known(run: Run, tokenizer: Any) -> Table | str:
    """Write and return floor, judges and ceiling, or say why there is none."""
    if run.profile.rollouts is None:
        return "Left out: the profile has no rollouts."
    if not (known := what_is_known(run, tokenizer)):
        return f"No rollouts yet; run `make rollouts PROFILE={run.profile.name}`."
    save(known_figure(known), run.out, "known")
    known_words(run, known)
    return write_table(known_table(run, known), run.out)
