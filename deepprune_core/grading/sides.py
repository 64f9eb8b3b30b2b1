r"""Where a number ends and its unit begins: ``5 cm``, ``$12``, ``12 apples``, ``5cm``, ``50%``."""

from __future__ import annotations

import re

from deepprune_core.grading.spelling import unwrapped
from deepprune_core.grading.units import Unit, is_ratio_of_symbols, is_unit_symbol, unit_of

_MONEY = re.compile(
    r"^(?P<sign>-?)\s*(?:\\?(?P<mark>\$)|(?P<other>[€£¥₹]|USD|EUR|GBP))\s*(?P<rest>.+)$"
)
_UNIT_TEXT = re.compile(r"^(?P<body>.*?)\\(?:text|mathrm|mbox|textrm|rm)\s*\{(?P<unit>[^{}]*)\}"
                        r"(?P<power>\s*\^\s*\{?-?\d\}?)?$")  # fmt: skip
_UNIT_SIGN = re.compile(r"^(?P<body>.*?\S)\s*(?P<unit>\\?%|\\?\$|€|¢|\^\\circ ?[CF]?)$")
_UNIT_WORDS = re.compile(
    r"^(?P<body>\S.*?)\s+(?P<unit>[A-Za-z][A-Za-z.']*(?:[ /][A-Za-z][A-Za-z.']*)*(?:\^-?\d)?)$"
)
_UNIT_GLUED = re.compile(
    r"^(?P<body>[-+]?[\d.,]*\d)(?P<unit>[A-Za-z]{2,}|[ap]\.?m\.?)(?P<power>\^\d)?$"
)
COMMAND = re.compile(r"\\([A-Za-z]+)")
_FUNCTIONS = ("sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "sin", "cos", "tan", "cot",
              "sec", "csc", "log", "ln", "exp", "pi", "infty", "sqrt")  # fmt: skip
_COMMANDS = (
    "frac sqrt cdot times div pi infty sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh "
    "log ln exp alpha beta gamma delta epsilon varepsilon theta lambda mu nu rho sigma tau phi "
    "varphi psi omega Delta Omega le ge lt gt ne binom lfloor rfloor lceil rceil begin end"
)
ALGEBRA = frozenset(_COMMANDS.split())
BARE_FUNCTION = re.compile(rf"(?<![A-Za-z\\])({'|'.join(_FUNCTIONS)})(?![A-Za-z])")


def without_unit(text: str) -> tuple[str, Unit | None]:
    """Return (number, unit) where a number and a unit stand side by side, else (text, None)."""
    if (match := _MONEY.match(text)) and is_number(rest := unwrapped(match["rest"])):
        mark = match["mark"] or match["other"]
        body, more = without_unit(rest)
        unit = unit_of(mark)
        if more in (None, unit):  # "$5" and "$5 dollars", and not "$5 per hour"
            return match["sign"] + body, unit
    if (match := _UNIT_TEXT.match(text)) and match["unit"].strip():
        body, named = match["body"].strip(), unwrapped(match["unit"]) + (match["power"] or "")
        if is_number(body) and not re.search(r"\d", match["unit"]) and _are_words(match["unit"]):
            return body, unit_of(named)
    text = unwrapped(text)
    if (match := _UNIT_SIGN.match(text)) and is_number(match["body"]):
        return match["body"], unit_of(match["unit"].removeprefix("\\"))
    if match := _UNIT_GLUED.match(text):
        short = _is_half_of_a_day(match["unit"])
        word = len(match["unit"]) > 3 and not BARE_FUNCTION.match(match["unit"])
        if short or word or is_unit_symbol(match["unit"]):
            return match["body"], unit_of(match["unit"] + (match["power"] or ""))
    if (match := _UNIT_WORDS.match(text)) and is_number(match["body"]):
        words = match["unit"]
        product = all(len(word) == 1 for word in re.split(r"\W+", words) if word)
        known = words in "mgshLNJWV" or is_ratio_of_symbols(words) or _is_half_of_a_day(words)
        if (known or not product) and _are_words(words) and not BARE_FUNCTION.search(words):
            return match["body"], unit_of(words)
    return text, None


def _is_half_of_a_day(text: str) -> bool:
    return text.replace(".", "").lower() in ("am", "pm")


def _are_words(text: str) -> bool:
    return not re.search(r"(?:^|\s)(?:or|and|if|for|where|when|to)(?:\s|$)", text)


def is_number(text: str) -> bool:
    """Return whether a text is a number or a constant expression, or a time of the day."""
    bare = COMMAND.sub(lambda m: "" if m[1] in ALGEBRA else "zz", unwrapped(text))
    return bool(re.search(r"\d|\\pi|\\infty", text)) and not re.search(r"[A-DF-Za-df-z=<>]", bare)
