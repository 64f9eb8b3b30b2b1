r"""Exact values of written arithmetic: ``2^2\cdot3^3``, ``10!``, ``1.6e-19``, ``2\frac12``.

Fractions only, in time that grows with the text. A value of more than ``MAX_BITS`` is never
computed: it stays a written form, such as ``(9^387420489)``, which is compared as text.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import factorial

MAX_BITS = 16_384
MAX_FACTORIAL = 1_000
Value = Fraction | str  # a string is a value that is too large to compute

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<repeat>(?<=[\d.])\\overline\{\d+\})"
    r"|(?P<word>\\(?:frac|cdot|times|div)(?![A-Za-z]))|(?P<sign>\*\*|[-+*/^!(){}]))"
)
_TIMES_X = re.compile(r"(?<=\d)\s*x\s*(?=10\s*(?:\^|\*\*))")
_FLOAT_DIGITS = 15  # a double keeps so many; a program prints up to 17


class NotArithmeticError(ValueError):
    """A text that is no arithmetic of plain numbers."""


def value_of(text: str) -> Value | None:
    r"""Return the exact value of a text of numbers and signs, None if it is anything else.

    >>> [str(value_of(t)) for t in ("10!", r"2\frac{1}{2}", "1e-05", "2^{100000}", "x")]
    ['3628800', '5/2', '1/100000', '(2^100000)', 'None']
    """
    try:
        reader = _Reader(_tokens(_TIMES_X.sub("*", text)))
        value = reader.sum()
        return value if reader.done else None
    except (NotArithmeticError, ZeroDivisionError, RecursionError):
        return None


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise NotArithmeticError(text)
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    if not found:
        raise NotArithmeticError(text)
    return found


class _Reader:
    """Recursive descent over tokens; every method returns a value and moves on."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def done(self) -> bool:
        return self.at == len(self.tokens)

    @property
    def next(self) -> str:
        return "" if self.done else self.tokens[self.at][1]

    @property
    def kind(self) -> str:
        return "" if self.done else self.tokens[self.at][0]

    def take(self, *wanted: str) -> str:
        """Return the next token and move on, if it is one of ``wanted``; else an empty text."""
        if self.next in wanted:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def expect(self, wanted: str) -> None:
        if not self.take(wanted):
            raise NotArithmeticError(wanted)

    def sum(self) -> Value:
        total = self.product()
        while sign := self.take("+", "-"):
            term = self.product()
            total = _plus(total, _negative(term) if sign == "-" else term)
        return total

    def product(self) -> Value:
        if sign := self.take("+", "-"):
            value = self.product()
            return _negative(value) if sign == "-" else value
        value = self.power()
        while not self.done:
            if self.take("*", r"\cdot", r"\times"):
                value = _times(value, self.signed_power())
            elif self.take("/", r"\div"):
                value = _over(value, self.signed_power())
            elif self.next in ("(", "{") or self.next == r"\frac":
                value = _times(value, self.power())
            else:
                break
        return value

    def signed_power(self) -> Value:
        sign = self.take("+", "-")
        value = self.power()
        return _negative(value) if sign == "-" else value

    def power(self) -> Value:
        base = self.atom()
        while self.take("!"):
            base = _factorial(base)
        if self.take("^", "**"):
            return _raised(base, self.signed_power())
        return base

    def atom(self) -> Value:
        if self.kind == "number":
            return self.number()
        if self.take(r"\frac"):
            return _over(self.group(), self.group())
        if self.take("("):
            value = self.sum()
            self.expect(")")
            return value
        return self.group()

    def group(self) -> Value:
        self.expect("{")
        value = self.sum()
        self.expect("}")
        return value

    def number(self) -> Value:
        """Return a number, with the proper fraction of a mixed one."""
        written = self.tokens[self.at][1]
        self.at += 1
        if self.kind == "repeat":
            return self.repeating(written)
        value = _number(written)
        start = self.at
        if written.isdigit() and (rest := self.proper_fraction()) is not None:
            return _plus(value, rest)
        self.at = start
        if self.kind == "number":
            raise NotArithmeticError("two numbers side by side")
        return value

    def proper_fraction(self) -> Fraction | None:
        """Return ``a/b`` or ``\\frac{a}{b}`` with 0 < a < b where one comes next."""
        here = [token for _, token in self.tokens[self.at : self.at + 7]]
        if here[:1] == [r"\frac"] and len(here) == 7:
            top, bottom = here[2], here[5]
            shape, length = [here[1], *here[3:5], here[6]], 7
            fits = shape == ["{", "}", "{", "}"]
        else:
            top, bottom, length = here[0] if here else "", here[2] if len(here) > 2 else "", 3
            fits = len(here) > 2 and here[1] == "/"
        if not fits or not (top.isdigit() and bottom.isdigit() and 0 < int(top) < int(bottom)):
            return None
        self.at += length
        return Fraction(int(top), int(bottom))

    def repeating(self, written: str) -> Value:
        digits = self.tokens[self.at][1][len(r"\overline{") : -1]
        self.at += 1
        whole, point, start = written.partition(".")
        if not point:
            raise NotArithmeticError(written)
        scale = 10 ** len(start)
        return Fraction(int(whole + start), scale) + Fraction(
            int(digits), scale * (10 ** len(digits) - 1)
        )


def _number(written: str) -> Value:
    """Return a literal's value; a double as a program prints it loses its last, unsure digits."""
    mantissa, _, exponent = written.lower().partition("e")
    if "." in mantissa and len(_digits(mantissa)) > _FLOAT_DIGITS:
        double = float(written)
        if _digits(mantissa) in (_digits(repr(double)), _digits(f"{double:.16e}")):
            mantissa, _, exponent = f"{double:.{_FLOAT_DIGITS - 1}e}".partition("e")
    power = int(exponent or 0)
    whole, _, rest = mantissa.partition(".")
    base = Fraction(int(whole + rest), 10 ** len(rest))
    return _times(base, _raised(Fraction(10), Fraction(power))) if power else base


def _digits(written: str) -> str:
    """Return the digits of a number's mantissa that say something."""
    return written.partition("e")[0].replace(".", "").strip("0")


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _plus(a: Value, b: Value) -> Value:
    if isinstance(a, str) or isinstance(b, str):
        return f"({'+'.join(sorted((_spelled(a), _spelled(b))))})"
    return a + b


def _negative(a: Value) -> Value:
    return _times(Fraction(-1), a)


def _times(a: Value, b: Value) -> Value:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if _bits(a) + _bits(b) <= 4 * MAX_BITS:
            return a * b
    elif a == 1:
        return b
    elif b == 1:
        return a
    return f"({'*'.join(sorted((_spelled(a), _spelled(b))))})"


def _over(a: Value, b: Value) -> Value:
    if isinstance(b, Fraction):
        return _times(a, 1 / b)
    return _times(a, f"(1/{b})")


def _raised(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if base in (0, 1) and exponent > 0:
            return base
        if exponent.denominator != 1:
            raise NotArithmeticError("a root")
        if abs(exponent) * _bits(base) <= MAX_BITS:
            return base ** int(exponent)
    return f"({_spelled(base)}^{_spelled(exponent)})"


def _factorial(value: Value) -> Value:
    if isinstance(value, Fraction):
        if value.denominator != 1 or value < 0:
            raise NotArithmeticError("factorial")
        if value <= MAX_FACTORIAL:
            return Fraction(factorial(int(value)))
    return f"({_spelled(value)}!)"


def _spelled(value: Value) -> str:
    return value if isinstance(value, str) else str(value)
