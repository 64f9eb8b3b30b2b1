r"""What an answer says, read alone: a key by which it is compared, an exact value, a unit.

Structure comes first (tuples, sets, unions, "or"), then exact arithmetic, then words. What is left
is algebra, which :mod:`deepprune_core.grading.checker` reads in a process of its own. What even
that cannot read is compared as text, so equal spellings are always equal answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from deepprune_core.grading.arithmetic import value_of
from deepprune_core.grading.checker import fingerprint
from deepprune_core.grading.sides import ALGEBRA, BARE_FUNCTION, COMMAND, is_number, without_unit
from deepprune_core.grading.spelling import plain, unwrapped
from deepprune_core.grading.units import Unit

MAX_CHARACTERS, MAX_NESTING = 256, 20
MAX_EXPONENT = 4_000  # of a number, in an expression that sympy shall read

_CHOICE = re.compile(
    r"^(?:(?:option|choice|answer)\s*:?\s*)?[(\[]?\s*(?P<letter>[A-Za-z])\s*[)\]]?[.):]?$",
    re.IGNORECASE,
)
_CHOICE_WITH_TEXT = re.compile(
    r"^(?:option\s+|choice\s+)?(?:\(([A-J])\)[.:]?\s+|([A-J])(?:\)|[.:]\s|\s+[–—-]\s+))\s*\S",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"^(?P<name>[A-Za-z](?:_\w|_\{\w+\})?(?:\^\{-1\})?(?:\([a-z]\))?|(?:m?\\angle\s*)?[A-Z]{1,3}"
    r"|\([A-Za-z](?:\s*,\s*[A-Za-z])+\))\s*=\s*(?P<rest>[^=]+)$"
)
_MEMBER = re.compile(r"^[A-Za-z]\s*\\in\s*(?P<rest>.+)$")
_THOUSANDS = re.compile(r"(?<![\d.])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_MATRIX = re.compile(r"\\(?:begin|end)\{([a-z]*)\}")
_LETTERS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]+")
_CAPITAL = re.compile(r"(?<![A-Za-z\\])[A-Z](?!_)")
_DECIMAL = re.compile(r"\d*\.\d+")
_CONTENT = re.compile(r"[^\W_]|[%$€£¥°^+<>=-]|\\[A-Za-z{]")
_SHORT_WORDS = re.compile(r"no|or|is|to|of|in|on|an|at|by|if|up|we|he|it|so|ok", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """``key``: equal for equal answers, units apart; ``value``: where it is an exact number.

    ``number``: whether a unit may stand beside it; ``unit``: the one that does.
    """

    key: str
    value: Fraction | None = None
    number: bool = False
    unit: Unit | None = None

    def spelled(self, sole: Unit | None = None) -> str:
        """Return the key with its unit; a bare number takes the ``sole`` one of its question."""
        unit = self.unit or (sole if self.number else None)
        if unit is None:
            return self.key
        if self.value is not None:
            return f"{self.value * unit.factor} {unit.base}"
        return f"{self.key} {'' if unit.factor == 1 else unit.factor}{unit.base}"


@lru_cache(maxsize=100_000)
def read(answer: str | None) -> Reading | None:
    r"""Return what an answer says; None if it has no content, is too long or nested too deep.

    >>> [read(a).spelled() for a in (r"\text{(C)}", "1,204.0", r"5\,\text{cm}", "(10, 100)")]
    ['C', '1204', '1/20 meter', '(10,100)']
    """
    if answer is None or len(answer) > MAX_CHARACTERS:
        return None
    text = plain(answer)
    if not _CONTENT.search(text) or _depth(text) > MAX_NESTING:
        return None
    return _whole(text)


def _step(character: str) -> int:
    """Return how a character changes the depth of brackets, whatever their kind."""
    return (character in "{([") - (character in "})]")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += _step(character)
        deepest = max(deepest, depth)
    return deepest


def _whole(text: str) -> Reading:
    """Return the reading of an answer, or of one part of a list."""
    if (choice := _choice(unwrapped(text))) is not None:
        return Reading(choice)
    text = _unnamed(text)
    body, unit = without_unit(text)
    if unit is not None:
        inner = _value(body)
        return Reading(inner.key, inner.value, True, unit)
    return _value(body)


def _choice(text: str) -> str | None:
    if match := _CHOICE_WITH_TEXT.match(text):
        return (match[1] or match[2]).upper()
    if (match := _CHOICE.match(text)) is None:
        return None
    return match["letter"].upper() if len(text) > 1 else text


def _unnamed(text: str) -> str:
    r"""Return what stands behind ``x =``, ``f(x) =`` or ``x \in``."""
    if match := _NAMED.match(text):
        return match["rest"].strip()
    if match := _MEMBER.match(text):
        return match["rest"].strip()
    left, equals, right = text.partition("=")
    if equals and re.fullmatch(r"\s*[A-Za-z]\s*", right) and "=" not in right:
        return left.strip()
    return text.removeprefix(r"\approx").removeprefix("≈").strip()


def _value(text: str) -> Reading:
    """Return the reading of a text without its unit."""
    text = unwrapped(text)
    if text[:1] == "{" and _closing(text, 0) == len(text) - 1 and not _has_comma(text):
        return _value(text[1:-1])
    found = _structure(text)
    if found is not None:
        return Reading(found)
    text = _without_thousands(text)
    if text.endswith(r"\infty") and text.strip("+- ") == r"\infty":
        return Reading("-oo" if "-" in text else "oo")
    value = value_of(text)
    if isinstance(value, Fraction):
        return Reading(str(value), value, True)
    if value is not None:
        return Reading(value, None, True)
    if _has_words(text):
        return Reading(re.sub(r"\s+", " ", text.replace("\\", " ")).strip(" .,;:!?\"'").casefold())
    return _algebra(text)


def _algebra(text: str) -> Reading:
    """Return the reading of an expression, by the checker where it is harmless."""
    text = BARE_FUNCTION.sub(r"\\\1 ", text).replace("**", "^")
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"([\^_])\s*(-?\d+)", r"\1{\2}", text)
    if _may_be_read(text):
        exact = _DECIMAL.sub(lambda m: _as_fraction(m[0]), text)
        # math-verify takes C and c for one variable, and knows indices.
        apart = _CAPITAL.sub(lambda m: f"{m[0].lower()}_{{999}}", exact)
        if (found := fingerprint(apart)) is not None:
            rational = value_of(found)
            value = rational if isinstance(rational, Fraction) else None
            return Reading(found, value, value is not None or found.startswith("≈"))
    spelled = re.sub(r"([\^_])\{(\w|-?\d+)\}", r"\1\2", text)
    return Reading(re.sub(r"\s+(?![A-Za-z0-9])|(?<![A-Za-z0-9])\s+", "", spelled))


def _as_fraction(decimal: str) -> str:
    value = value_of(decimal)
    assert isinstance(value, Fraction)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _may_be_read(text: str) -> bool:
    """Return whether sympy may read an expression: known commands, and no value that explodes."""
    if set(COMMAND.findall(text)) - ALGEBRA or re.search(r"\d\s+\d|:|[\"'#&;?@|~`]{2}", text):
        return False
    if any(not name.endswith("matrix") for name in _MATRIX.findall(text)):
        return False
    if "_" in text and re.search(r"\d_", text):
        return False
    for match in re.finditer(r"\^\s*(\{|\(|\S)", text):
        end = _closing(text, match.start(1)) if match[1] in "{(" else match.start(1)
        power = value_of(text[match.start(1) : end + 1])
        if isinstance(power, str) or (power is not None and abs(power) > MAX_EXPONENT):
            return False
    explosive = re.search(r"\d{4,}\s*!|!\s*!|[)}]\s*!", text)
    return not explosive and not (r"\binom" in text and re.search(r"\d{4,}", text))


def _has_words(text: str) -> bool:
    """Return whether a text says something in words."""
    if r"\begin" in text:
        return False
    runs = _LETTERS.findall(BARE_FUNCTION.sub(" ", text))
    return any(len(run) > 2 or _SHORT_WORDS.fullmatch(run) for run in runs)


def _without_thousands(text: str) -> str:
    """Return a text without thousands' commas, if commas say nothing else in it."""
    bare = _THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)
    return text if "," in bare or re.search(r"[\[\]()]", text) else bare


def _closing(text: str, start: int) -> int:
    """Return where the bracket at ``start`` closes, any kind by any kind; -1 if it does not."""
    depth = 0
    for at in range(start, len(text)):
        depth += _step(text[at])
        if not depth:
            return at
    return -1


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Return the parts of a text between separators that no bracket encloses."""
    parts, start, depth, at = [], 0, 0, 0
    while at < len(text):
        depth += _step(text[at])
        if depth == 0 and (match := separator.match(text, at)) and match.end() > at:
            parts.append(text[start:at].strip())
            start = at = match.end()
        else:
            at += 1
    return [*parts, text[start:].strip()]


_COMMA = re.compile(r",|;")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_OR = re.compile(r"(?:,\s*)?(?<![A-Za-z])(?:or|and)(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])|,")


def _has_comma(text: str) -> bool:
    return len(_split(text[1:-1], _COMMA)) > 1


def _structure(text: str) -> str | None:
    r"""Return the key of a tuple, interval, set, union, list or ``\pm``; None for anything else."""
    if r"\begin" in text:
        return None
    unions = _split(text, _UNION)
    if len(unions) > 1 and all(unions):
        return r"\cup".join(sorted(_whole(part).spelled() for part in unions))
    if (found := _bracketed(text)) is not None:
        return found
    if _without_thousands(text) != text and not re.search(r",\s", text):
        return None
    parts = _split(text, _COMMA)
    if len(parts) == 1:
        parts = _split(text, _OR)
        if len(parts) > 1 and not all(_is_short(_unnamed(part)) for part in parts):
            parts = [text]
    if len(parts) > 1 and all(parts):
        parts[-1] = re.sub(r"^(?:or|and)\s+", "", parts[-1])
        return _unordered(parts)
    if text.count(r"\pm") == 1 and "," not in text:
        return _unordered([text.replace(r"\pm", sign) for sign in ("+", "-")])
    return None


def _is_short(text: str) -> bool:
    """Return whether a text is a number or a choice: what *or* and *and* may stand between."""
    return is_number(text) or _choice(text) is not None


def _bracketed(text: str) -> str | None:
    """Return the key of a text that one pair of brackets encloses, with commas in it."""
    opens = text[1:2] if text.startswith("\\{") else text[:1]
    at = 1 if text.startswith("\\{") else 0
    if opens not in "{([" or not opens or _closing(text, at) != len(text) - 1:
        return None
    inner = text[at + 1 : -1].removesuffix("\\").strip()
    closes = text[-1]
    if not inner:
        return r"\emptyset" if opens == "{" else opens + closes
    parts = _split(inner, _COMMA)
    if opens == "{":
        return _unordered(parts) if at or len(parts) > 1 else None
    if len(parts) == 1:
        return f"[{_whole(inner).spelled()}]" if opens == "[" and closes == "]" else None
    return opens + ",".join(_element(part) for part in parts) + closes


def _unordered(parts: Sequence[str]) -> str:
    """Return the key of several values whose order says nothing."""
    names = {match["name"] if (match := _NAMED.match(part)) else "" for part in parts}
    elements = [_element(_unnamed(part) if len(names) == 1 else part) for part in parts]
    return elements[0] if len(set(elements)) == 1 else "{" + ",".join(sorted(elements)) + "}"


def _element(text: str) -> str:
    """Return the key of one part of a list; a name before ``=`` is a part of what it says."""
    match = _NAMED.match(text)
    name = f"{match['name']}=" if match else ""
    return name + (_whole(text).spelled() if text else "")
