"""What Table 2's sentences rest on: the rule's own saving, the price at which nothing is saved."""

from __future__ import annotations

import numpy as np
import pytest

from replication.online import Cell
from replication.run import Run
from replication.table2_words import break_even, rule_saving
from replication.workflow.profile import ROOT, load_profile


def cell(kept: float, generated: float, judge: float = 0.0) -> Cell:
    """Return a method on three questions of 16 traces with 100 tokens each."""
    one = np.ones((2, 3))
    return Cell("DeepPrune", "m", "b", one, generated * one, kept * one, judge * one,
                np.full(3, 1600.0), one)  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(load_profile(ROOT / "replication/profiles/small.yaml"), tmp_path, tmp_path)


def test_the_rule_saves_what_its_formula_says_when_k2_traces_finish(run):
    """Four of sixteen finish, and a stopped trace had cost 30 of its 100 tokens."""
    pruned = cell(kept=400, generated=400 + 12 * 30)
    assert rule_saving(run, pruned, 16) == pytest.approx(1 - 760 / 1600)


def test_the_rules_saving_does_not_depend_on_how_many_did_finish(run):
    fewer = cell(kept=200, generated=200 + 14 * 30)
    assert rule_saving(run, fewer, 16) == pytest.approx(1 - 760 / 1600)


def test_at_the_break_even_price_nothing_is_saved():
    pruned = cell(kept=400, generated=760, judge=2000)
    price = break_even(pruned)
    assert price == pytest.approx(840 / 2000)
    assert 760 + price * 2000 == pytest.approx(1600)
    assert break_even(cell(400, 760)) == float("inf")
