"""Findings: verdicts from intervals, rows from a run's tables, the committed page up to date."""

from pathlib import Path

import pytest

from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import Estimate, Table, write_table
from replication.reporting.evidence import (
    CONFIRMED,
    OPEN,
    REFUTED,
    Evidence,
    RunTables,
    above,
    differs,
    diverse,
    interval,
    knowing,
    redundant,
    saved,
    shortest,
    unlike,
    untrained,
)
from replication.reporting.findings import claims, in_short, main, of_itself
from replication.reporting.reference import load_reference


def est(three):
    return Estimate(*three.split())


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(81, 84, CONFIRMED), (70, 79, REFUTED), (78, 82, OPEN)]
)
def test_a_verdict_needs_the_whole_interval(low, high, verdict):
    assert above(Interval((low + high) / 2, low, high, 9), 80) == verdict


def test_overlapping_intervals_decide_nothing():
    low, high = Interval(0.6, 0.55, 0.65, 9), Interval(0.8, 0.7, 0.9, 9)
    assert unlike(high, low) == CONFIRMED
    assert unlike(low, high) == REFUTED
    assert unlike(high, Interval(0.7, 0.6, 0.75, 9)) == OPEN


def test_a_cell_without_interval_is_refused():
    assert interval(est("-1.9 -3.0 +0.5")).low == -3.0
    with pytest.raises(ValueError, match=r"with its interval, got '0\.7'"):
        interval("0.7")


def test_a_runs_claims_are_told_and_kept_for_its_report(tmp_path, capsys):
    columns = ("source", "reasoner", "benchmark", "same answer, pairs", "N")
    rows = (("ours", "b", "all", est("84.0 81.0 87.0"), "9 q"),)
    write_table(Table("redundancy", "", columns, rows), tmp_path)
    main(["--of", str(tmp_path), "--name", "mine"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split("  ")[-2].strip() == CONFIRMED and "84.0 [81.0, 87.0] %" in line
    assert (tmp_path / "headlines" / "claims.csv").is_file()


def test_rows_come_from_the_tables(tmp_path):
    run = RunTables(tmp_path)
    assert redundant(run) == saved(run) == differs(ends="plain")(run) == knowing(run) == []
    columns = ("source", "reasoner", "benchmark", "same answer, pairs", "N")
    rows = (("paper", "a", "all", "93.1", "–"), ("ours", "b", "all", est("84.0 81.0 87.0"), "9 q"),
            ("ours", "b", "sums", est("12.0 9.0 13.0"), "9 q"))  # fmt: skip
    write_table(Table("redundancy", "", columns, rows), tmp_path)
    (one,) = redundant(run)
    assert (one.ours, one.verdict, one.num) == ("b: 84.0 [81.0, 87.0] %", CONFIRMED, "9 q")
    shares = ("method", "% of cons@N, gross")
    cells = (("cons@8", est("100.0 100.0 100.0")), ("DeepPrune", est("30.0 28.0 31.0")),
             ("DeepPrune", est("15.0 14.0 16.0")))  # fmt: skip
    write_table(Table("table2", "", shares, cells, ("N: 9 questions a reasoner; x.",)), tmp_path)
    (one,) = saved(run)
    assert (one.ours, one.verdict, one.num) == ("70.0 to 85.0 %", OPEN, "9 questions a reasoner")


def test_in_short_several_reasoners_are_a_range_and_a_count():
    def found(name, value, low, high, verdict):
        cell = Estimate(value, low, high)
        return Evidence(f"{name}: {cell} %", verdict, "redundancy", "9 q", (cell,), " %")

    both = [found("a", "84.0", "81.0", "87.0", CONFIRMED), found("b", "9.5", "7", "12", REFUTED)]
    run = RunTables(Path("figures/real"))
    assert in_short(run, both) == ("9.5 to 84.0 %", "holds here for 1 of 2")
    assert in_short(run, both[:1]) == ("84.0 [81.0, 87.0] %", "holds here")
    assert in_short(RunTables(Path("x"), "mini"), both[1:])[1] == "not so in our world"
    assert in_short(run, []) == ("–", "–")


def test_the_papers_own_numbers_are_recomputed():
    found = {claim: (ours, said) for claim, _, ours, _, said, _ in of_itself(load_reference())}
    ours, said = found["Accuracy stays within 3 points"]
    assert "loses 3.3 points" in ours and said == "disagrees"


def test_a_difference_needs_holms_correction(tmp_path):
    columns = ("comparison", "difference in AUROC", "differs (Holm, 5 %)")
    rows = (("80 tokens: focal + oversampling − plain", est("0.040 0.010 0.070"), "yes"),
            ("12 words: focal + oversampling − plain", est("0.030 0.001 0.060"), "no"),
            ("80 tokens: focal + oversampling − untrained", est("0.2 0.1 0.3"), "yes"))  # fmt: skip
    write_table(Table("table1_paired", "", columns, rows, ("N: 9 pairs.",)), tmp_path)
    found = differs(ends="focal + oversampling − plain")(RunTables(tmp_path))
    assert [one.verdict for one in found] == [CONFIRMED, OPEN]


def test_a_weak_reader_shows_nothing_where_no_reader_is_better(tmp_path):
    columns = ("judge", "AUROC ours")
    rows = (("Zero-shot judge", est("0.52 0.47 0.57")),)
    write_table(Table("similarity", "", columns, rows, ("N: 9 pairs.",)), tmp_path)
    (alone,) = untrained("Zero-shot")(RunTables(tmp_path))
    known = (("ceiling: the reasoner's own rollouts", est("0.88 0.80 0.93")),)
    write_table(Table("known", "", ("reader", "AUROC pooled"), known), tmp_path)
    (beside,) = untrained("Zero-shot")(RunTables(tmp_path))
    assert (alone.verdict, beside.verdict) == (OPEN, CONFIRMED)


def test_thresholds_that_give_one_cluster_decide_nothing(tmp_path):
    columns = ("benchmark", "τ", "retained only", "pass@k (%)")
    rows = (("words", "0.75", "139 908", est("98.5 96.5 99.8")),
            ("words", "0.5", "17 493", est("73.7 67.2 80.5")),
            ("words", "0.25", "17 493", est("73.7 66.4 80.3")))  # fmt: skip
    write_table(Table("table3", "", columns, rows, ("N: 9 questions.",)), tmp_path)
    (one,) = diverse(RunTables(tmp_path))
    assert one.verdict == OPEN and "one cluster" in one.ours


@pytest.mark.parametrize(
    ("seeds", "verdict"), [("0.010, 0.020, 0.030", CONFIRMED), ("-0.050, 0.060, 0.080", OPEN)]
)
def test_seeds_that_disagree_decide_nothing(tmp_path, seeds, verdict):
    columns = ("reasoner", "questions", "AUROC", "AUROC by seed")
    rows = (("unseen", "seen − unseen", est("0.020 0.010 0.030"), seeds),)
    write_table(Table("leak_crossed", "", columns, rows, ("N: 9 pairs.",)), tmp_path)
    (one,) = knowing(RunTables(tmp_path))
    assert one.verdict == verdict and seeds in one.ours


def test_every_claim_is_asked_once():
    texts = [claim.text for claim in claims(load_reference())]
    assert len(set(texts)) == len(texts)


def test_lengths_of_one_reader_are_compared_with_each_other(tmp_path):
    columns = ("ours", "AUROC ours")
    rows = (("96 tokens, focal + oversampling", est("0.57 0.49 0.65")),
            ("32 tokens, number overlap", est("0.65 0.62 0.68")),
            ("64 tokens, number overlap", est("0.67 0.65 0.69")),
            ("128 tokens, number overlap", est("0.73 0.70 0.76")),
            ("128 tokens, another", est("0.90 0.89 0.91")))  # fmt: skip
    write_table(Table("truncation", "", columns, rows, ("N: 9 pairs.",)), tmp_path)
    (one,) = shortest(RunTables(tmp_path))
    assert one.ours == "64 tokens 0.67 [0.65, 0.69], 128 tokens 0.73 [0.70, 0.76]"
    assert one.verdict == REFUTED
