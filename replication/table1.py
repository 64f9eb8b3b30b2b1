"""Figure 2b/2c, Table 1, the leakage test and Figure 4: how well judges tell pairs apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.judging.pair_data import JudgeData
from deepprune_core.judging.score_cache import CachedJudge
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Truncation
from replication.judges import (
    BF16_TOLERANCE,
    CHECKED,
    SCORES,
    JudgeSpec,
    adapter_folder,
    is_trained,
    leaky_spec,
    open_judge,
    score_afresh,
    table1_specs,
    test_data,
)
from replication.paired import Difference, differences
from replication.reporting.plots import Compared
from replication.reporting.reference import Cut, Reference, load_reference
from replication.run import Run
from replication.skill import CONTRADICTIONS, JudgeResult, Tested, assess, contradiction_reader
from replication.stored_scores import open_scores, preload
from replication.text import NOTHING, number, percent

ROWS = ("plain", "focal", "oversampling", "both")
ROW_NAMES = {
    "plain": "plain", "focal": "focal loss", "oversampling": "oversampling",
    "both": "focal + oversampling",
}  # fmt: skip


def assess_trained(run: Run, spec: JudgeSpec, tokenizer: Any) -> JudgeResult:
    """Return the result of a trained judge; shipped scores are used, and a sample computed afresh.

    Raises:
        FileNotFoundError: it has not been trained yet.
        ValueError: shipped scores and weights do not belong together.
    """
    adapter = adapter_folder(run, spec)
    if not is_trained(run, spec):
        raise FileNotFoundError(f"{adapter}: no trained judge with its scores; run `make judges`")
    cut, shipped = spec.truncation, adapter / SCORES
    data = test_data(run, cut, tokenizer)
    judge = knowing_judge(run, spec, data, run.work / "scores" / f"{spec.name}.parquet")
    result = assess(run, f"{cut.label}, {ROW_NAMES[spec.row]}", judge, data, cut, spec.row)
    if judge.num_hits:
        rows = run.rng("check", spec.name).permutation(len(data[0]))[:CHECKED]
        sample = [data[0].inputs[i] for i in rows]
        score_afresh(judge, sample, judge.score(sample), BF16_TOLERANCE, str(shipped))
    judge.save()
    return result


def knowing_judge(run: Run, spec: JudgeSpec, data: Sequence[JudgeData], own: Path) -> CachedJudge:
    """Return a trained judge that knows its shipped scores of the test pairs, which are ``data``.

    ``own``: where it keeps those that it computes.
    """
    adapter = adapter_folder(run, spec)
    judge = open_judge(run, adapter, own, autocast=run.profile.judge.autocast)
    stored = open_scores(adapter / SCORES, judge, run.unseen)
    for part, traces in zip(data, run.unseen, strict=True):
        preload(judge, stored, traces, traces.pairs, part.inputs)
    return judge


def assess_all(run: Run, specs: Sequence[JudgeSpec], tokenizer: Any) -> list[JudgeResult]:
    """Return the results of those judges that are trained.

    Raises:
        FileNotFoundError: none of them is.
    """
    there = [spec for spec in specs if is_trained(run, spec)] or specs[:1]
    return [assess_trained(run, spec, tokenizer) for spec in there]


def untrained_note(run: Run, specs: Sequence[JudgeSpec]) -> tuple[str, ...]:
    """Return which of the judges are still to be trained, as a note; nothing if none."""
    lacking = [spec for spec in specs if not is_trained(run, spec)]
    missing = [f"{spec.truncation.label}, {ROW_NAMES[spec.row]}" for spec in lacking]
    return (
        (f"Not trained yet: {'; '.join(missing)}. `make judges` trains them.",) if missing else ()
    )


def contradiction_readers(run: Run, results: Sequence[JudgeResult]) -> list[JudgeResult]:
    """Return the reader of contradictions at every cut of the results, where there is one."""
    cuts = {result.cut: result for result in results}
    found = (contradiction_reader(run, [p.data for p in r.parts], cut) for cut, r in cuts.items())
    return [one for one in found if one is not None]


def skill_columns(first: str, parts: Sequence[Tested]) -> tuple[str, ...]:
    """Return the columns of :func:`skill_row`; ``first`` names what is compared."""
    return ("truncation", first, "AUROC paper", "AUROC ours", "within question", "TNR@0.2 paper",
            "TNR@0.2 ours", *(f"AUROC {p.model}" for p in parts))  # fmt: skip


def skill_row(
    result: JudgeResult, name: str, paper: tuple[str, str] = (NOTHING, NOTHING)
) -> tuple[str, ...]:
    """Return a judge's skill as cells; ``paper``: the AUROC and TNR reported for it."""
    return (result.cut.label, name, paper[0], number(result.auroc), number(result.within),
            paper[1], number(result.tnr), *(number(p.auroc) for p in result.parts))  # fmt: skip


def bound_rows(run: Run, results: Sequence[JudgeResult], columns: int) -> list[tuple[str, ...]]:
    """Return the reader of contradictions and the question oracle as rows of ``columns`` cells.

    The cells are: what, which, AUROC paper, ours, within, TNR paper, ours, AUROC a reasoner.
    """
    rows = [
        (c.cut.label, CONTRADICTIONS, NOTHING, number(c.auroc),
         number(c.within), NOTHING, number(c.tnr), *(number(p.auroc) for p in c.parts))
        for c in contradiction_readers(run, results)
    ]  # fmt: skip
    oracle = (
        NOTHING, "question oracle: reads no trace", NOTHING, f"{results[0].oracle:.3f}",
        *[NOTHING] * 3, *(f"{p.oracle:.3f}" for p in results[0].parts),
    )  # fmt: skip
    return [(*row, *[NOTHING] * (columns - len(row))) for row in (*rows, oracle)]


FEW = 30


def mixed_note(results: Sequence[JudgeResult]) -> str:
    """Return on how many questions AUROCs within questions rest, and the best one weighted."""
    parts, best = results[0].parts, max(results, key=lambda r: r.within.value)
    counts = ", ".join(f"{p.within.num_questions} of {p.model}" for p in parts)
    few = max(p.within.num_questions for p in parts) < FEW
    return (
        "'Within question' is a mean over the questions with both kinds of pair: "
        f"{counts}{' (few: read it with care)' if few else ''}. Where a question weighs as much "
        "as it has couples of a same and a different pair, the highest "
        f"({best.name}) is {best.weighted_within:.3f}."
    )


def taught_note(run: Run, result: JudgeResult) -> tuple[str, ...]:
    """Return that a reasoner taught the judges which it tests, as a note; nothing if none did."""
    if run.profile.traces.train is None:
        return ()
    teacher = run.teaching("train").model
    met = [part.model for part in result.parts if part.model == teacher]
    return tuple(f"{model} taught these judges, with other questions." for model in met)


def paper_cut(cut: Truncation) -> Cut:
    """Return the paper's name of a way to cut."""
    return "tokens" if cut.kind == "tokens" else "words"


def table1(run: Run, results: Sequence[JudgeResult], *, name: str = "table1") -> Table:
    """Return Table 1: eight judges, AUROC and TNR@FNR=0.2, ours and the paper's averages."""
    reference = load_reference()
    columns = skill_columns("training", results[0].parts)
    rows: list[tuple[str, ...]] = []
    for result in results:
        auroc, tnr = reference.table1[paper_cut(result.cut)][result.row]["average"]
        rows.append(skill_row(result, ROW_NAMES[result.row], (f"{auroc:.3f}", f"{tnr:.3f}")))
    showed = np.mean([p.data.showed_answer for r in results for p in r.parts])
    first = results[0]
    return Table(
        name,
        f"Judges on traces that they have not met (Table 1). {run.profile.caption}",
        columns,
        (*rows, *bound_rows(run, results, len(columns))),
        (
            f"N: {first.num_pairs} pairs, {first.auroc.num_questions} questions. Intervals: "
            f"95 %, from resampling questions. {mixed_note(results)} The pooled AUROC also rises "
            "by knowing which questions are hard.",
            *taught_note(run, first),
            f"{percent(float(showed))} % of prefixes would have shown an answer before the guard "
            "cut it. The paper's k: 500 tokens, 25 words.",
            *untrained_note(run, table1_specs(run)),
        ),
    )  # fmt: skip


def compared(results: Sequence[JudgeResult]) -> dict[str, list[Compared]]:
    """Return Table 1 as rows of a figure, one panel a truncation."""
    reference = load_reference()
    panels: dict[str, list[Compared]] = {}
    for result in results:
        paper = reference.table1[paper_cut(result.cut)][result.row]["average"][0]
        row = Compared(ROW_NAMES[result.row], result.auroc, paper)
        panels.setdefault(f"First {result.cut.label}", []).append(row)
    return panels


def row_differences(
    run: Run, results: Sequence[JudgeResult], zero: JudgeResult
) -> list[Difference]:
    """Return the differences between rows that the paper claims, paired by question."""
    return differences(run, results, zero, lambda result: ROW_NAMES[result.row])


def table1_words(
    run: Run, results: Sequence[JudgeResult], zero: JudgeResult, found: Sequence[Difference]
) -> str:
    """Return what agrees with the paper's Table 1 and what does not."""
    reference = load_reference()
    best = max(results, key=lambda r: r.auroc.value)
    rule = (
        max(r.within.value for r in contradiction_readers(run, [best]))
        if run.profile.contradictions
        else None
    )
    top = reference.table1["words"]["both"]["average"][0]
    run.headline(
        "04",
        ("Best trained judge, AUROC", f"{top:.3f} (v1), {reference.table1_v2_auroc:.3f} (v2)",
         number(best.auroc)),
        ("The same within questions, AUROC", NOTHING, number(best.within)),
        ("Question oracle (reads no trace), AUROC", NOTHING, f"{best.oracle:.3f}"),
        *(("Reader of contradictions, AUROC", NOTHING, number(c.auroc))
           for c in contradiction_readers(run, [best])),
    )  # fmt: skip
    return run.note(
        "04",
        f"The best row is {best.name} with AUROC {number(best.auroc)}; the paper's is 25 words "
        f"with both switches ({top:.3f} in v1, {reference.table1_v2_auroc:.3f} in v2).",
        f"The zero-shot base has {number(zero.auroc)}.",
        *_ranking(found),
        f"Within questions the best row reaches {number(best.within)}"
        + ("." if rule is None else f"; a reader of contradictions has {rule:.3f} there."),
        f"A reader of no trace that knows each question's agreement rate has {best.oracle:.3f} "
        "pooled: pooled AUROC rewards knowing the question.",
    )  # fmt: skip


def _ranking(found: Sequence[Difference]) -> list[str]:
    if not found:
        return []
    told = [f"{d.what}: {number(d.value)}" for d in found if d.differs]
    asked = (
        f"Of the {len(found)} differences that the paper claims between rows, paired by question, "
        if len(found) > 1
        else "The one difference that can be asked here, paired by question, "
    )
    if not told:
        return [asked + ("none is there" if len(found) > 1 else "is not there")
                + " after Holm's correction."]  # fmt: skip
    return [f"{asked}{'these are there' if len(found) > 1 else 'is there'}: {'; '.join(told)}."]


def leakage(run: Run, results: Sequence[JudgeResult], tokenizer: Any) -> Table | str:
    """Write and return the leakage table, or say why there is none."""
    if run.profile.traces.leaky is None:
        return "The profile names no traces on the tests' questions that could teach a judge."
    clean = [r for r in results if r.row == "both" and r.cut == run.cuts.online()]
    if not clean or not is_trained(run, leaky_spec(run)):
        return "The judge that knows the tests' questions is not trained yet; see `make judges`."
    leaky = assess_trained(run, leaky_spec(run), tokenizer)
    return write_table(leakage_table(run, clean[0], leaky), run.out)


def leakage_table(run: Run, clean: JudgeResult, leaky: JudgeResult) -> Table:
    """Return what knowing the test questions is worth, beside the paper's two versions."""
    reference: Reference = load_reference()
    top = reference.table1["words"]["both"]["average"][0]
    rows = (
        ("questions of its own", f"{reference.table1_v2_auroc:.3f} (v2)", number(clean.auroc),
         number(clean.within), number(clean.tnr)),
        ("the tests' own questions", f"{top:.3f} (v1)", number(leaky.auroc),
         number(leaky.within), number(leaky.tnr)),
        ("difference", f"{top - reference.table1_v2_auroc:+.3f}",
         f"{leaky.auroc.value - clean.auroc.value:+.3f}",
         f"{leaky.within.value - clean.within.value:+.3f}",
         f"{leaky.tnr.value - clean.tnr.value:+.3f}"),
    )  # fmt: skip
    return Table(
        "leakage",
        f"The same judge trained with and without the tests' questions. {run.profile.caption}",
        ("trained on", "AUROC paper", "AUROC ours", "within question", "TNR@0.2 ours"),
        rows,
        (f"N: {clean.num_pairs} pairs, {clean.auroc.num_questions} questions, of reasoners that "
         "taught neither judge. Whether v1 shared questions is not stated there.",
         f"The judge that knows the questions learned from {len(run.teaching('leaky').graded)} of "
         f"them, the other from {len(run.teaching('train').graded)} others: the difference mixes "
         "knowing the questions with learning from fewer. One seed each."),
    )  # fmt: skip


def similarity_table(run: Run, results: Sequence[tuple[str, JudgeResult]]) -> Table:
    """Return Figure 2b and 2c in numbers; keys name the paper's figure."""
    reference = load_reference()
    columns = ("judge", "truncation", "AUROC paper", "AUROC ours", "within question",
               "TNR@0.2 paper", "TNR@0.2 ours",
               *(f"AUROC {p.model}" for p in results[0][1].parts))  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for key, result in results:
        point = reference.figure2bc[key]  # type: ignore[index]
        rows.append(
            (result.name, result.cut.label, f"{point.auroc:.2f}", number(result.auroc),
             number(result.within), f"{point.tnr:.2f}", number(result.tnr),
             *(number(p.auroc) for p in result.parts))
        )  # fmt: skip
    bounds = [(b[1], b[0], *b[2:]) for b in bound_rows(run, [r for _, r in results], len(columns))]
    first = results[0][1]
    return Table(
        "similarity",
        f"Judges without training (Figure 2b, 2c). {run.profile.caption}",
        columns,
        (*rows, *bounds),
        (
            f"N: {first.num_pairs} pairs, {first.auroc.num_questions} questions. "
            f"{mixed_note([result for _, result in results])}",
        ),
    )
