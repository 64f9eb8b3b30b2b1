"""How numbers are written in tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import NOTHING, Estimate

__all__ = ["NOTHING", "count", "number", "percent", "rate", "saving", "span"]


def rate(found: Interval, digits: int = 1) -> Estimate | str:
    """Return a rate in percent with its interval.

    >>> rate(Interval(0.853, 0.8, 0.9, 30))
    '85.3 [80.0, 90.0]'
    """
    return number(
        Interval(100 * found.value, 100 * found.low, 100 * found.high, found.num_questions), digits
    )


def number(found: Interval, digits: int = 3) -> Estimate | str:
    """Return a value with its interval; a dash where there is none."""
    if math.isnan(found.value):
        return NOTHING
    return Estimate(*(f"{part:.{digits}f}" for part in (found.value, found.low, found.high)))


def count(value: float) -> str:
    """Return a count with thousands separated by thin spaces; 1234567 becomes 1 234 567."""
    return f"{value:,.0f}".replace(",", "\u202f")


def percent(value: float, digits: int = 1) -> str:
    """Return a share in percent without a sign; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{100 * value:.{digits}f}"


def saving(shares: Sequence[float]) -> str:
    """Return what is saved, given as shares of all tokens; where nothing is, what it costs.

    >>> saving([0.5, 0.25]), saving([-1.8, -2.4])
    ('25.0 to 50.0 %', 'nothing (2.8 to 3.4 times as many are spent)')
    """
    if max(shares) < 0:
        return f"nothing ({span([f'{1 - share:.1f}' for share in shares])} times as many are spent)"
    return f"{span([percent(share) for share in shares])} %"


def span(shown: Sequence[str]) -> str:
    """Return ``lowest to highest`` of numbers already written, or the one they all are.

    >>> span(["3.0", "-1.5", "2.0"]), span(["4", "4"])
    ('-1.5 to 3.0', '4')
    """
    low, high = min(shown, key=float), max(shown, key=float)
    return low if low == high else f"{low} to {high}"
