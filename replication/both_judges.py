"""Reading once beside reading pairs: how much skill it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from deepprune_core.judging.encode_once import EncodeOnceJudge
from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import Table
from replication.encode_once import once_result
from replication.judges import online_spec, test_data
from replication.paired import paired_difference
from replication.reporting.evidence import CONFIRMED, OPEN, REFUTED, above
from replication.run import Run
from replication.skill import JudgeResult, assess
from replication.table1 import bound_rows, knowing_judge, skill_columns, skill_row
from replication.text import number

PAIRWISE = "pairwise"


@dataclass(frozen=True)
class BothJudges:
    """Both judges on the unseen reasoners.

    ``loss``: pooled AUROC of reading once minus that of reading pairs, paired by question.
    """

    pairwise: JudgeResult
    once: JudgeResult
    loss: Interval


def compare_judges(run: Run, once: EncodeOnceJudge) -> BothJudges:
    """Return both judges on the unseen reasoners."""
    cut, tokenizer = run.cuts.online(), once.encoder.tokenizer
    data = test_data(run, cut, tokenizer)
    pairwise = knowing_judge(run, online_spec(run), data, run.work / "scores" / "both.parquet")
    paired, alone = assess(run, PAIRWISE, pairwise, data, cut), once_result(run, once)
    pairwise.save()
    return BothJudges(paired, alone, paired_difference(run, alone, paired))


def skill_table(run: Run, found: BothJudges) -> Table:
    """Return the skill of reading pairs and of reading once."""
    results = (found.pairwise, found.once)
    columns = skill_columns("judge", found.once.parts)
    return Table(
        "encode_once",
        f"A judge that reads each prefix once, beside the paper's. {run.profile.caption}",
        columns,
        (*(skill_row(r, r.name) for r in results), *bound_rows(run, results, len(columns))),
        (f"N: {found.once.num_pairs} pairs, {found.once.auroc.num_questions} questions. Reading "
         f"once minus reading pairs: {number(found.loss)}, paired by question.",),
    )  # fmt: skip


def skill_words(run: Run, found: BothJudges) -> str:
    """Return whether reading once keeps the pairwise judge's skill."""
    told = {CONFIRMED: "and it holds", REFUTED: "and it fails", OPEN: "which this does not decide"}
    return run.note(
        "08",
        f"Reading once reaches an AUROC of {number(found.once.auroc)}, within questions "
        f"{number(found.once.within)}; reading pairs {number(found.pairwise.auroc)} and "
        f"{number(found.pairwise.within)}. The difference is {number(found.loss)}; the hope was to "
        f"lose at most 0.01, {told[above(found.loss, -0.01)]}.",
    )  # fmt: skip
