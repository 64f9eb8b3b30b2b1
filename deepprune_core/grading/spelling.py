r"""One spelling for what can be spelled in many ways: Unicode, Markdown and LaTeX dress.

Nothing here changes what an answer says. ``½`` becomes ``\frac{1}{2}``, ``√2`` ``\sqrt{2}``,
full-width digits become digits, ``**A**`` loses its stars and ``\left(`` its ``\left``.
"""

from __future__ import annotations

import re
import unicodedata

_SIGNS = {
    "∞": r"\infty ", "π": r"\pi ", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ",
    "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "±": r"\pm ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R} ", "°": r"^\circ ",
    "−": "-", "﹣": "-", "－": "-", "‐": "-", "‑": "-", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_GREEK = re.compile(r"[α-ωΑ-Ω]")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_ROOT = re.compile(
    r"([√∛∜])\s*(\([^()]*\)|\{[^{}]*\}|\d+(?:\.\d+)?|\\?[A-Za-z]+|[\u00bc-\u00be\u2150-\u215e])"
)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
_THIN = re.compile("(?<=\\d)[\u2009\u202f'](?=\\d{3}(?!\\d))")
_DASH = re.compile(
    r"(?<![\d\w)}\]])\s*[–—]\s*(?=[\d.\\(√∞π\u00bc-\u00be\u2150-\u215e])"
)  # – between two numbers is a range
_MARKDOWN = re.compile(r"^(\*{1,3}|_{2,3}|`+)(?P<inner>[^*_`].*?)\1$", re.DOTALL)
_MATH = re.compile(r"^(?:\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\])$", re.DOTALL)
_STYLE = re.compile(
    r"\\(?:displaystyle|textstyle|limits|bigl?|bigr|Bigl?|Bigr|left|right)(?![A-Za-z])"
)
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:leq|leqslant)(?![A-Za-z])"), r"\\le"),
    (re.compile(r"\\(?:geq|geqslant)(?![A-Za-z])"), r"\\ge"),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne"),
    (re.compile(r"\\(?:varnothing)(?![A-Za-z])"), r"\\emptyset"),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"(?<!\\)\\(?:quad|qquad|;|:|,|!|~| )|~"), " "),
    (
        re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])|\\degree(?![A-Za-z])"),
        r"^\\circ ",
    ),
)  # fmt: skip
_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|\\!\s*,|,\s*\\!|\\,(?=\d{3}(?!\d)))(?=\s*(?:\\!\s*)?\d{3})")
_LONE = re.compile(r"(?<=[\^_])\{([A-Za-z0-9])\}")

_WRAPPED = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|textit|textrm|mathit|mathsf|emph|mbox|textnormal|boldsymbol"
    r"|operatorname|underline|rm|bf|boxed|fbox)\s*\{([^{}]*)\}"
)


def plain(answer: str) -> str:
    """Return an answer in plain characters, without the dress around the whole of it.

    >>> [plain(a) for a in ("**½**", "１２", "√2", "–5", r"$\\left(1{,}000\\right)$")]
    ['\\\\frac{1}{2}', '12', '\\\\sqrt{2}', '-5', '(1000)']
    """
    text = _unicode(answer).strip()
    while True:
        bare = _undressed(text)
        if bare == text:
            break
        text = bare
    text = _GROUPED.sub("", text)
    text = _STYLE.sub("", text)
    for pattern, replacement in _SYNONYMS:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = _LONE.sub(r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def _undressed(text: str) -> str:
    """Take one layer of Markdown, dollars or full stops off."""
    text = text.strip()
    if (found := _MARKDOWN.match(text)) and found[1] not in found["inner"]:
        return found["inner"]
    if found := _MATH.match(text):
        inner = next(group for group in found.groups() if group is not None)
        if "$" not in inner.replace(r"\$", "") and r"\(" not in inner:
            return inner
    if text.endswith((".", ":", ";", ",")) and not text.endswith(("...", "right.")):
        return text[:-1]
    return text


def _unicode(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    text = _THIN.sub("", text)
    text = _ROOT.sub(lambda m: f"{_ROOTS[m[1]]}{{{_inside(m[2])}}}", text)
    text = _DASH.sub("-", text)
    pieces: list[str] = []
    for character in text:
        pieces.append(_one(character, pieces))
    joined = "".join(pieces)
    return re.sub(r"\^\{([^{}]*)\}\^\{([^{}]*)\}", r"^{\1\2}", joined)


def _one(character: str, before: list[str]) -> str:
    """Return the plain spelling of a character; ``before``: what stands before it."""
    if character.isascii():
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    if character.translate(_SUPERSCRIPTS) != character:
        return f"^{{{character.translate(_SUPERSCRIPTS)}}}"
    if character.translate(_SUBSCRIPTS) != character:
        return f"_{{{character.translate(_SUBSCRIPTS)}}}"
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    whole = unicodedata.normalize("NFKC", character)
    if "\u2044" in whole:  # ½ and its kind; after a digit it is the rest of a mixed number
        top, bottom = whole.split("\u2044")
        return (
            " " if before and before[-1][-1:].isdigit() else ""
        ) + rf"\frac{{{top}}}{{{bottom}}}"
    if _GREEK.match(character) and "FINAL" not in unicodedata.name(character, ""):
        name = unicodedata.name(character).rpartition(" ")[2].lower()
        name = {"lamda": "lambda"}.get(name, name)
        return f"\\{name if character.islower() else name.capitalize()} "
    if whole != character and all(c.isascii() or c.isalnum() for c in whole):
        return whole
    return " " if character.isspace() else character


def _inside(group: str) -> str:
    return group[1:-1] if group[0] in "({" else group


def unwrapped(text: str) -> str:
    """Return a text whose words have no LaTeX around them."""
    while True:
        bare = _WRAPPED.sub(r" \1 ", text)
        if bare == text:
            return re.sub(r"\s+", " ", text).strip().strip("\"'").strip()
        text = bare
