"""Findings: verdicts from intervals, rows from a run's tables, the committed page up to date."""

import pytest

from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import Table, write_table
from replication.reporting.evidence import (
    CONFIRMED,
    OPEN,
    REFUTED,
    RunTables,
    above,
    beats,
    interval,
    knowing,
    redundant,
    saved,
    switches,
)
from replication.reporting.findings import claims, of_itself
from replication.reporting.reference import load_reference


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(81, 84, CONFIRMED), (70, 79, REFUTED), (78, 82, OPEN)]
)
def test_a_verdict_needs_the_whole_interval(low, high, verdict):
    assert above(Interval((low + high) / 2, low, high, 9), 80) == verdict


def test_overlapping_intervals_decide_nothing():
    low, high = Interval(0.6, 0.55, 0.65, 9), Interval(0.8, 0.7, 0.9, 9)
    assert beats(high, low) == CONFIRMED
    assert beats(low, high) == REFUTED
    assert beats(high, Interval(0.7, 0.6, 0.75, 9)) == OPEN


def test_a_cell_without_interval_is_refused():
    assert interval("saved: -1.9 [-3.0, +0.5] points").low == -3.0
    with pytest.raises(ValueError, match=r"with its interval, got '0\.7'"):
        interval("0.7")


def test_rows_come_from_the_tables(tmp_path):
    run = RunTables(tmp_path)
    assert redundant(run) == saved(run) == switches(run) == knowing(run) == []
    columns = ("source", "reasoner", "benchmark", "same answer, pairs", "N")
    rows = (("paper", "a", "all", "93.1", "–"), ("ours", "b", "all", "84.0 [81.0, 87.0]", "9 q"),
            ("ours", "b", "sums", "12.0 [9.0, 13.0]", "9 q"))  # fmt: skip
    write_table(Table("redundancy", "", columns, rows), tmp_path)
    (one,) = redundant(run)
    assert (one.ours, one.verdict, one.num) == ("b: 84.0 [81.0, 87.0] %", CONFIRMED, "9 q")
    shares = ("method", "% of cons@N, gross")
    cells = (("cons@8", "100.0 [100.0, 100.0]"), ("DeepPrune", "30.0 [28.0, 31.0]"),
             ("DeepPrune", "15.0 [14.0, 16.0]"))  # fmt: skip
    write_table(Table("table2", "", shares, cells, ("N: 9 questions a reasoner; x.",)), tmp_path)
    (one,) = saved(run)
    assert (one.ours, one.verdict, one.num) == ("70.0 to 85.0 %", OPEN, "9 questions a reasoner")


def test_the_papers_own_numbers_are_recomputed():
    found = {
        claim: (ours, verdict) for claim, _, ours, _, verdict, _ in of_itself(load_reference())
    }
    bars = load_reference().figure2a.values()
    ours, verdict = found["The average of Figure 2a is the mean of its bars"]
    assert f"{100 * sum(bars) / 4:.2f}" in ours
    assert verdict == REFUTED


def test_every_claim_is_asked_once():
    texts = [claim.text for claim in claims(load_reference())]
    assert len(set(texts)) == len(texts)
