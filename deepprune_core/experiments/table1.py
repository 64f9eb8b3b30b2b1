"""Figure 2b/2c, Table 1, the leakage test and Figure 4: how well judges tell pairs apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.experiments.judge_data import JudgeData
from deepprune_core.experiments.judges import (
    JudgeSpec,
    Tested,
    average,
    open_judge,
    test_data,
    tested,
)
from deepprune_core.experiments.run import Run
from deepprune_core.experiments.text import NOTHING, number, percent
from deepprune_core.judging.inputs import Judge
from deepprune_core.metrics import Interval, roc_fnr_tnr
from deepprune_core.reporting.plots import Compared, Curve
from deepprune_core.reporting.plots_online import Lengths
from deepprune_core.reporting.reference import Cut, Reference, load_reference
from deepprune_core.reporting.tables import Table
from deepprune_core.truncation import Truncation

ROWS = ("plain", "focal", "oversampling", "both")
ROW_NAMES = {
    "plain": "plain", "focal": "focal loss", "oversampling": "oversampling",
    "both": "focal + oversampling",
}  # fmt: skip


@dataclass(frozen=True)
class JudgeResult:
    """A judge on every unseen reasoner and on their average."""

    name: str
    cut: Truncation
    row: str
    parts: tuple[Tested, ...]
    auroc: Interval
    tnr: Interval

    @property
    def curve(self) -> Curve:
        """The ROC curve of all reasoners' pairs together, labelled with the average AUROC."""
        same = np.concatenate([p.data.same for p in self.parts])
        fnr, tnr = roc_fnr_tnr(same, np.concatenate([p.scores for p in self.parts]))
        return Curve(self.name, fnr, tnr, self.auroc)


def assess(
    run: Run, name: str, judge: Judge, data: Sequence[JudgeData], cut: Truncation, row: str = ""
) -> JudgeResult:
    """Return a judge's result on the test pairs of all unseen reasoners."""
    parts = tuple(tested(run, part, judge.score(part.inputs)) for part in data)
    return JudgeResult(name, cut, row, parts, *average(run, parts))


def assess_trained(run: Run, spec: JudgeSpec, tokenizer: Any) -> JudgeResult:
    """Return the result of a judge that notebook 03 trained.

    Raises:
        FileNotFoundError: it has not been trained yet.
    """
    adapter = run.work / "judges" / spec.name
    if not (adapter / "manifest.json").is_file():
        raise FileNotFoundError(f"{adapter}: no trained judge; run notebook 03 first")
    judge = open_judge(run, adapter, run.work / "scores" / f"{spec.name}.parquet")
    data = test_data(run, spec.truncation, tokenizer)
    result = assess(run, f"{spec.truncation.label}, {ROW_NAMES[spec.row]}", judge, data,
                    spec.truncation, spec.row)  # fmt: skip
    judge.save()
    return result


def num_pairs(result: JudgeResult) -> int:
    """Return the number of pairs behind a result."""
    return sum(len(part.data) for part in result.parts)


def paper_cut(cut: Truncation) -> Cut:
    """Return the paper's name of a way to cut."""
    return "tokens" if cut.kind == "tokens" else "words"


def table1(run: Run, results: Sequence[JudgeResult]) -> Table:
    """Return Table 1: eight judges, AUROC and TNR@FNR=0.2, ours and the paper's averages."""
    reference = load_reference()
    rows: list[tuple[str, ...]] = []
    for result in results:
        auroc, tnr = reference.table1[paper_cut(result.cut)][result.row]["average"]
        rows.append(
            (
                result.cut.label, ROW_NAMES[result.row], f"{auroc:.3f}", number(result.auroc),
                f"{tnr:.3f}", number(result.tnr), *(number(p.auroc) for p in result.parts),
                *(number(p.tnr) for p in result.parts),
            )
        )  # fmt: skip
    models = [part.model for part in results[0].parts]
    showed = np.mean([p.data.showed_answer for r in results for p in r.parts])
    first = results[0]
    return Table(
        "table1",
        f"Judges on three unseen reasoners (Table 1). {run.profile.caption}",
        (
            "truncation", "training", "AUROC paper", "AUROC ours", "TNR@0.2 paper",
            "TNR@0.2 ours", *(f"AUROC {m}" for m in models), *(f"TNR@0.2 {m}" for m in models),
        ),
        tuple(rows),
        (
            f"N: {num_pairs(first)} pairs, {first.auroc.num_questions} questions. Intervals: "
            "95 %, from resampling questions.",
            f"{percent(float(showed))} % of prefixes would have shown an answer before the guard "
            "cut it. The paper's k: 500 tokens, 25 words.",
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


def table1_words(run: Run, results: Sequence[JudgeResult], zero: JudgeResult) -> str:
    """Return what agrees with the paper's Table 1 and what does not."""
    reference = load_reference()
    best, worst = (f(results, key=lambda r: r.auroc.value) for f in (max, min))
    both = {r.cut.kind: r for r in results if r.row == "both"}
    gain = results and best.auroc.value - zero.auroc.value
    overlapping = best.auroc.low <= worst.auroc.high
    top = reference.table1["words"]["both"]["average"][0]
    run.headline(
        "04",
        ("Best trained judge, AUROC", f"{top:.3f} (v1), {reference.table1_v2_auroc:.3f} (v2)",
         number(best.auroc)),
    )  # fmt: skip
    return run.note(
        "04",
        f"The best row is {best.name} with AUROC {number(best.auroc)}; the paper's is 25 words "
        f"with both switches ({top:.3f} in v1, {reference.table1_v2_auroc:.3f} in v2).",
        f"Training lifts the average by {gain:+.3f} over the zero-shot base "
        f"({number(zero.auroc)}), in the direction the paper reports.",
        "The rows' intervals overlap, so our data do not rank the switches."
        if overlapping
        else f"The worst row ({worst.name}, {number(worst.auroc)}) lies clearly below.",
        f"Tokens and words with both switches: {number(both['tokens'].auroc)} and "
        f"{number(both['reasoning_words'].auroc)}.",
    )


def leakage_table(run: Run, clean: JudgeResult, leaky: JudgeResult) -> Table:
    """Return what knowing the test questions is worth, beside the paper's two versions."""
    reference: Reference = load_reference()
    top = reference.table1["words"]["both"]["average"][0]
    rows = (
        ("questions of its own", f"{reference.table1_v2_auroc:.3f} (v2)", number(clean.auroc),
         number(clean.tnr)),
        ("the tests' own questions", f"{top:.3f} (v1)", number(leaky.auroc), number(leaky.tnr)),
        ("difference", f"{top - reference.table1_v2_auroc:+.3f}",
         f"{leaky.auroc.value - clean.auroc.value:+.3f}",
         f"{leaky.tnr.value - clean.tnr.value:+.3f}"),
    )  # fmt: skip
    return Table(
        "leakage",
        f"The same judge trained with and without the tests' questions. {run.profile.caption}",
        ("trained on", "AUROC paper", "AUROC ours", "TNR@0.2 ours"),
        rows,
        (f"N: {num_pairs(clean)} pairs, {clean.auroc.num_questions} questions; other reasoner, "
         "same number of training pairs. Whether v1 shared questions is not stated there.",),
    )  # fmt: skip


def similarity_table(run: Run, results: Sequence[tuple[str, JudgeResult]]) -> Table:
    """Return Figure 2b and 2c in numbers; keys name the paper's figure."""
    reference = load_reference()
    rows = []
    for key, result in results:
        point = reference.figure2bc[key]  # type: ignore[index]
        rows.append(
            (result.name, f"{point.auroc:.2f}", number(result.auroc), f"{point.tnr:.2f}",
             number(result.tnr), *(number(p.auroc) for p in result.parts))
        )  # fmt: skip
    first = results[0][1]
    return Table(
        "similarity",
        f"Judges without training (Figure 2b, 2c). {run.profile.caption}",
        ("judge", "AUROC paper", "AUROC ours", "TNR@0.2 paper", "TNR@0.2 ours",
         *(f"AUROC {p.model}" for p in first.parts)),
        tuple(rows),
        (f"N: {num_pairs(first)} pairs, {first.auroc.num_questions} questions.",),
    )  # fmt: skip


def figure4_lines(results: Sequence[JudgeResult]) -> dict[str, list[Lengths]]:
    """Return Figure 4's lines: the unseen reasoners and their average, per kind of cut."""
    panels = {}
    for kind, title in (("tokens", "tokens"), ("reasoning_words", "words")):
        mine = sorted((r for r in results if r.cut.kind == kind), key=lambda r: r.cut.k)
        k = [r.cut.k for r in mine]
        lines = [
            Lengths(part.model, k, [r.parts[i].auroc for r in mine])
            for i, part in enumerate(mine[0].parts)
        ]
        panels[title] = [*lines, Lengths("average", k, [r.auroc for r in mine])]
    return panels


def figure4_table(run: Run, results: Sequence[JudgeResult]) -> Table:
    """Return Figure 4 in numbers, with how much of a trace each prefix holds."""
    reference = load_reference()
    rows = []
    for kind, key in (("tokens", "tokens"), ("reasoning_words", "words")):
        mine = sorted((r for r in results if r.cut.kind == kind), key=lambda r: r.cut.k)
        paper = list(reference.figure4[key].items())  # type: ignore[index]
        for i, result in enumerate(mine):
            k, auroc = paper[i] if i < len(paper) else (NOTHING, float("nan"))
            showed = float(np.mean([p.data.showed_answer for p in result.parts]))
            rows.append(
                (result.cut.label, str(k), f"{auroc:.3f}", number(result.auroc),
                 number(result.tnr), percent(showed))
            )  # fmt: skip
    return Table(
        "truncation",
        f"AUROC against the length of the prefix (Figure 4). {run.profile.caption}",
        ("ours", "paper's k", "AUROC paper", "AUROC ours", "TNR@0.2 ours", "showed an answer (%)"),
        tuple(rows),
        (f"N: {num_pairs(results[0])} pairs, {results[0].auroc.num_questions} questions.",
         "Figure 4 of the paper gives 0.887 for the setting whose Table 1 entry is 0.861."),
    )  # fmt: skip


def trained_folder(run: Run, spec: JudgeSpec) -> Path:
    """Return where notebook 03 puts a judge."""
    return run.work / "judges" / spec.name
