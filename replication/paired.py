"""Judges compared: differences of two judges on the same pairs, paired by question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import Table
from replication.run import Run
from replication.skill import JudgeResult, mean_over_reasoners, shared_groups
from replication.text import number

LEVEL = 0.05


def paired_difference(run: Run, one: JudgeResult, other: JudgeResult) -> Interval:
    """Return the pooled AUROC of ``one`` minus that of ``other``, a mean over reasoners.

    A draw takes a question with all its pairs, of all reasoners, and for both judges.

    Raises:
        ValueError: they were not asked the same pairs.
    """
    if not all(map(np.array_equal, _labels(one), _labels(other))):
        raise ValueError(f"expected the same pairs, got others from {one.name} and {other.name}")
    data = [p.data for p in one.parts]
    both = [(sign, [p.scores for p in r.parts]) for sign, r in ((1.0, one), (-1.0, other))]
    return mean_over_reasoners(run, data, both, one.name, other.name)


def _labels(result: JudgeResult) -> tuple[np.ndarray, np.ndarray]:
    same = np.concatenate([p.data.same for p in result.parts])
    return same, shared_groups([p.data for p in result.parts])


def holm(differences: Sequence[Interval], level: float = LEVEL) -> list[bool]:
    """Return which differences are not zero when all of them are asked at once (Holm, 1979).

    The p-value of each is read from its 95 % interval, taken as a normal one.
    """
    normal = NormalDist()
    half = normal.inv_cdf(0.975)

    def p_value(found: Interval) -> float:
        error = (found.high - found.low) / (2 * half)
        return 2 * (1 - normal.cdf(abs(found.value) / error)) if error > 0 else float("nan")

    p_values = [p_value(one) for one in differences]
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    differs = [False] * len(p_values)
    for rank, i in enumerate(order):
        if not p_values[i] <= level / (len(p_values) - rank):
            break
        differs[i] = True
    return differs


def compared_judges(
    results: Sequence[JudgeResult], zero: JudgeResult, name: Callable[[JudgeResult], str]
) -> list[tuple[str, JudgeResult, JudgeResult]]:
    """Return what Table 1 claims, as (comparison, one judge, the other).

    Each remedy against plain training at its cut, words against tokens of one training, and
    training against none for the judge with both remedies at the untrained judge's cut.
    """
    rows = {(r.cut.kind, r.row): r for r in results}
    found = []
    for (kind, row), result in rows.items():
        if row != "plain" and (kind, "plain") in rows:
            plain = rows[kind, "plain"]
            found.append((f"{result.cut.label}: {name(result)} − {name(plain)}", result, plain))
    for row in dict.fromkeys(r.row for r in results):
        if ("tokens", row) in rows and ("reasoning_words", row) in rows:
            words, tokens = rows["reasoning_words", row], rows["tokens", row]
            found.append((f"{name(words)}: words − tokens", words, tokens))
    if trained := rows.get((zero.cut.kind, "both")):
        found.append((f"{trained.cut.label}: {name(trained)} − untrained", trained, zero))
    return found


@dataclass(frozen=True)
class Difference:
    """One comparison, and whether it holds among all that were made."""

    what: str
    value: Interval
    differs: bool


def differences(
    run: Run, results: Sequence[JudgeResult], zero: JudgeResult, name: Callable[[JudgeResult], str]
) -> list[Difference]:
    """Return every difference that Table 1 claims, paired by question."""
    asked = compared_judges(results, zero, name)
    values = [paired_difference(run, one, other) for _, one, other in asked]
    told = zip(asked, values, holm(values), strict=True)
    return [Difference(what, value, differs) for (what, _, _), value, differs in told]


def paired_table(
    run: Run, found: Sequence[Difference], zero: JudgeResult, *, name: str = "table1_paired"
) -> Table:
    """Return the differences as a table."""
    return Table(
        name,
        f"Which rows of Table 1 differ. {run.profile.caption}",
        ("comparison", "difference in AUROC", "differs (Holm, 5 %)"),
        tuple((d.what, number(d.value), "yes" if d.differs else "no") for d in found),
        (f"N: {zero.num_pairs} pairs, {zero.auroc.num_questions} questions. Pooled AUROC, a mean "
         "over reasoners, paired by question. One training seed a row, so a difference also holds "
         "the luck of one training.",),
    )  # fmt: skip
