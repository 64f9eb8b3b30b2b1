"""The ledger's identities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.ledger import Ledger

counts = st.integers(0, 10**9)


@given(counts, counts, counts)
def test_generated_is_kept_plus_pruned_plus_after_abort(kept, pruned, extra):
    assert Ledger(kept, pruned, extra).generated == kept + pruned + extra


def test_nothing_pruned_saves_exactly_nothing_gross_and_less_than_nothing_net():
    ledger = Ledger(kept=100, baseline=100, judge=30, judge_calls=3)
    assert ledger.saved_gross == 0
    assert ledger.saved_net() == pytest.approx(-0.3)
    assert ledger.saved_net(judge_cost=0.1) == pytest.approx(-0.03)


def test_ledgers_add_up():
    one = Ledger(1, 2, 3, 10, 5, 1)
    assert one + one == Ledger(2, 4, 6, 20, 10, 2)


@pytest.mark.parametrize(
    ("fields", "words"), [({"kept": -1}, ">= 0"), ({"judge": 2}, "only where")]
)
def test_impossible_ledgers_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Ledger(**fields)
