r"""Units of measure, currencies and counted things that stand beside a number.

Spellings of one unit become one name (``centimeters`` and ``cm``), and units of one kind a common
base (60 minutes are 1 hour), both by the library pint. What it does not know, such as apples, is a
unit of its own by its singular.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

CURRENCIES = {
    "$": "dollar", "€": "euro", "£": "pound sterling", "¥": "yen", "₹": "rupee", "¢": "cent",
    "usd": "dollar", "us dollar": "dollar", "buck": "dollar", "eur": "euro",
    "gbp": "pound sterling",
}  # fmt: skip
# Spellings whose meaning in an answer is not the one in a table of physical units.
_OWN = {
    "%": "percent", "percent": "percent", "per cent": "percent", "percentage": "percent",
    "pct": "percent", "am": "am", "a.m": "am", "pm": "pm", "p.m": "pm", "unit": "unit",
    r"^\circ": "degree", "deg": "degree", "degree": "degree", "°": "degree", "cent": "cent",
    r"^\circ c": "degree celsius", r"^\circ f": "degree fahrenheit",
    "degree celsius": "degree celsius", "degree fahrenheit": "degree fahrenheit",
} | {name: name for name in CURRENCIES.values()} | CURRENCIES  # fmt: skip
_PARTS = {"cent": (Fraction(1, 100), {"dollar": 1})}
_SYMBOL_NAMES = (
    "m cm mm km dm nm g kg mg t s ms h hr hrs min sec d L l ml mL cl dl ft in yd mi lb lbs oz gal "
    "qt pt Hz kHz MHz N kN J kJ W kW V A K Pa kPa mol mph kph rad"
)
_SYMBOLS = frozenset(_SYMBOL_NAMES.split())
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cube": 3, "cu": 3}
_PART = re.compile(
    r"^(?P<name>.*?)\s*(?:\^\s*\{?(?P<power>-?[1-6])\}?|(?P<word> squared| cubed))?$"
)


@dataclass(frozen=True)
class Unit:
    """``factor`` of ``base``, a product of basic units and counted things such as ``meter^2``."""

    factor: Fraction
    base: str


def unit_of(text: str) -> Unit:
    r"""Return the unit that a text names.

    >>> [unit_of(t).base for t in ("cm", "Apples", "m/s", "meters per second", "square feet")]
    ['meter', 'apple', 'meter*second^-1', 'meter*second^-1', 'meter^2']
    """
    cleaned = re.sub(r"\s+", " ", text.strip().rstrip(".").strip())
    over, *under = [cleaned] if _own(cleaned) else re.split(r"\s*/\s*|\s+per\s+", cleaned)
    factor, powers = Fraction(1), Counter[str]()
    for place, part in enumerate([over, *under]):
        for word in [part] if _own(part) else re.split(r"\s*(?:\\cdot|\*)\s*", part):
            size, bases, power = _known(word)
            power *= -1 if place else 1
            factor *= size**power
            powers.update({name: own * power for name, own in bases.items()})
    named = sorted((name, power) for name, power in powers.items() if power)
    return Unit(factor, "*".join(n if power == 1 else f"{n}^{power}" for n, power in named))


def is_unit_symbol(text: str) -> bool:
    """Return whether a few letters right after a number are a unit and no product of variables."""
    return len(text) > 1 and text in _SYMBOLS and text not in ("mm", "mi", "ms")


def is_ratio_of_symbols(text: str) -> bool:
    """Return whether a text is such as ``m/s``."""
    return "/" in text and set(text.split("/")) <= _SYMBOLS


def _own(text: str) -> str | None:
    folded = text.casefold()
    return _OWN.get(folded) or _OWN.get(" ".join(map(_singular, folded.split())))


def _known(word: str) -> tuple[Fraction, dict[str, int], int]:
    """Return (factor, powers of its basic units, power) of a single unit."""
    match = _PART.match(word)
    assert match is not None
    name, power = match["name"], int(match["power"] or 1)
    if match["word"]:
        power = _POWERS[match["word"].strip().removesuffix("d")]
    first, _, rest = name.partition(" ")
    if rest and first.rstrip(".").lower() in _POWERS:
        name, power = rest, _POWERS[first.rstrip(".").lower()]
    if (own := _own(name)) is not None:
        return *_PARTS.get(own, (Fraction(1), {own: 1})), power
    return *_measured(name), power


@cache
def _registry() -> Any:
    from pint import UnitRegistry

    return UnitRegistry(non_int_type=Fraction, cache_folder=None)


@lru_cache(maxsize=10_000)
def _measured(word: str) -> tuple[Fraction, dict[str, int]]:
    """Return what pint knows of a unit; a thing that it does not know is a unit of its own."""
    for spelled in dict.fromkeys((word, word.lower())):
        known = spelled in _SYMBOLS if len(spelled) < 4 else spelled.isascii() and spelled.isalpha()
        found = _registry().parse_unit_name(spelled) if known else ()
        if not found or (found[0][0] and len(spelled) > 3 and not spelled.startswith(found[0][0])):
            continue  # unknown, or a word that only looks like symbols put together
        factor, base = _registry().get_base_units("".join(found[0][:2]))
        if not base.dimensionless:
            return Fraction(factor), {name: int(power) for name, power in base._units.items()}
    return Fraction(1), {_singular(word.casefold()): 1}


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    plural = word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3
    return word[:-1] if plural else word
