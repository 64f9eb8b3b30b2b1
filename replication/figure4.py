"""Figure 4: how a judge's skill grows with the length of the prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepprune_core.reporting.tables import Table
from replication.judges import sweep_specs
from replication.paired import paired_difference
from replication.readers import AT_LENGTHS, EMBEDDINGS, readers_at_lengths
from replication.reporting.plots_online import AVERAGE, Lengths
from replication.reporting.reference import load_reference
from replication.run import Run
from replication.skill import CONTRADICTIONS, JudgeResult
from replication.table1 import assess_all, contradiction_readers, untrained_note
from replication.text import NOTHING, number, percent


def figure4_results(run: Run, tokenizer: Any) -> list[JudgeResult]:
    """Return the judges of every length, and the other readers at theirs."""
    judges = assess_all(run, sweep_specs(run), tokenizer) if run.has_judges else []
    return [*judges, *readers_at_lengths(run, tokenizer)]


def figure4_lines(run: Run, results: Sequence[JudgeResult]) -> dict[str, list[Lengths]]:
    """Return Figure 4's lines for each kind of cut: reasoners, their average, contradictions."""
    panels = {}
    for kind, title in (("tokens", "tokens"), ("reasoning_words", "words")):
        mine = _of_kind(results, kind)
        if not mine:
            continue
        k = [r.cut.k for r in mine]
        lines = [
            Lengths(f"judge on {part.model}", k, [r.parts[i].auroc for r in mine])
            for i, part in enumerate(mine[0].parts)
        ]
        panels[title] = [*lines, Lengths(AVERAGE, k, [r.auroc for r in mine])]
        if top := [c.auroc for c in contradiction_readers(run, mine)]:
            panels[title].append(Lengths(CONTRADICTIONS, k, top, dotted=True))
    for name, mine in _others(results).items():
        line = Lengths(name, [r.cut.k for r in mine], [r.auroc for r in mine])
        panels.setdefault("tokens", []).append(line)
    return panels


def _of_kind(results: Sequence[JudgeResult], kind: str) -> list[JudgeResult]:
    """Return the judges that were cut in one way, shortest first."""
    judges = (r for r in results if r.cut.kind == kind and r.name not in AT_LENGTHS)
    return sorted(judges, key=lambda r: r.cut.k)


def _others(results: Sequence[JudgeResult]) -> dict[str, list[JudgeResult]]:
    """Return the readers that are no judges of pairs, by name."""
    found = {name: [r for r in results if r.name == name] for name in AT_LENGTHS}
    return {name: mine for name, mine in found.items() if mine}


def beside_paper(ours: Sequence[int], reported: Mapping[int, float]) -> list[tuple[str, str]]:
    """Return the paper's (k, AUROC) beside each of our lengths, as text.

    As many lengths as the paper's stand for them by rank; otherwise only equal k are paired.
    """
    if len(ours) == len(reported):
        return [(str(k), f"{auroc:.3f}") for k, auroc in reported.items()]
    return [(str(k), f"{reported[k]:.3f}") if k in reported else (NOTHING, NOTHING) for k in ours]


def _row(
    label: str, result: JudgeResult, paper: tuple[str, str], bounds: tuple[str, str]
) -> tuple[str, ...]:
    showed = float(np.mean([p.data.showed_answer for p in result.parts]))
    share = float(np.mean([p.data.share for p in result.parts]))
    return (label, percent(share, 0), *paper, number(result.auroc), number(result.within), *bounds,
            number(result.tnr), percent(showed))  # fmt: skip


def figure4_table(run: Run, results: Sequence[JudgeResult]) -> Table:
    """Return Figure 4 in numbers, with how much of a trace each prefix holds."""
    reference = load_reference()
    rows = []
    for kind, key in (("tokens", "tokens"), ("reasoning_words", "words")):
        mine = _of_kind(results, kind)
        reported = reference.figure4[key]  # type: ignore[index]
        paper = beside_paper([r.cut.k for r in mine], reported)
        top = contradiction_readers(run, mine)
        for i, result in enumerate(mine):
            bounds = (number(top[i].auroc), number(top[i].within)) if top else (NOTHING, NOTHING)
            rows.append(_row(result.cut.label, result, paper[i], bounds))
    for name, mine in _others(results).items():
        for result in mine:
            label = f"{result.cut.label}, {name}"
            rows.append(_row(label, result, (NOTHING, NOTHING), (NOTHING, NOTHING)))
    return Table(
        "truncation",
        f"AUROC against the length of the prefix (Figure 4). {run.profile.caption}",
        ("ours", "of a trace (%)", "paper's k", "AUROC paper", "AUROC ours", "within question",
         "contradictions", "contradictions within", "TNR@0.2 ours", "showed an answer (%)"),
        tuple(rows),
        (f"N: {results[0].num_pairs} pairs, {results[0].auroc.num_questions} questions. 'Of a "
         "trace': the median share of a trace's tokens that its prefix is.",
         "Figure 4 of the paper gives 0.887 for the setting whose Table 1 entry is 0.861.",
         *(f"Best minus worst length ({name}), picked here and paired by question: "
           f"{number(paired_difference(run, best, least))}."
           for name, best, least in _best_and_worst(results)),
         *untrained_note(run, sweep_specs(run))),
    )  # fmt: skip


def _best_and_worst(results: Sequence[JudgeResult]) -> list[tuple[str, JudgeResult, JudgeResult]]:
    """Return (kind of length, best, worst) of the trained judges, where lengths differ."""
    found = []
    for kind, name in (("tokens", "tokens"), ("reasoning_words", "reasoning words")):
        mine = sorted(_of_kind(results, kind), key=lambda r: -r.auroc.value)
        if len(mine) > 1:
            found.append((name, mine[0], mine[-1]))
    return found


def figure4_words(run: Run, results: Sequence[JudgeResult]) -> str:
    """Return what agrees with the paper's Figure 4 and what does not."""
    sentences = []
    for name, best, least in _best_and_worst(results):
        sentences.append(
            f"With {name} the best length is {best.cut.k} (AUROC {number(best.auroc)}), the worst "
            f"{least.cut.k} ({number(least.auroc)}); paired by question these two, picked here, "
            f"differ by {number(paired_difference(run, best, least))}."
        )
    for name, mine in _others(results).items():
        first, last = mine[0], mine[-1]
        what = f"{name}, trained at each length" if name == EMBEDDINGS else name
        sentences.append(
            f"{what[0].upper()}{what[1:]}: from {number(first.auroc)} at "
            f"{first.cut.k} tokens to {number(last.auroc)} at {last.cut.k}; within questions from "
            f"{number(first.within)} to {number(last.within)}."
        )
    paper = load_reference().figure4
    top = {cut: max(values, key=lambda k, v=values: v[k]) for cut, values in paper.items()}  # type: ignore[misc]
    sentences.append(
        f"The paper finds a peak in the middle for tokens ({top['tokens']}) and at the shortest "
        f"prefix for words ({top['words']}), without intervals."
    )
    return run.note("07", *sentences)
