r"""Final answers: extraction, canonical form, and the partition into answer classes.

Checkers of equivalence are neither transitive nor symmetric, so each question's distinct
answers are canonicalised and partitioned once. Labels of pairs, votes and redundancy all come
from the class id. An answer that is missing or beyond the limits is *ungradable*: it has no
class, never votes, and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from tqdm import tqdm

from deepprune_core.grading.checker import equivalent
from deepprune_core.traces import Question, Trace, TraceSet

UNGRADABLE = -1
MAX_CHARACTERS, MAX_NESTING, MAX_DIGITS = 256, 20, 30

_CHOICE = re.compile(r"^\(?([A-Za-z])\)?[.):]?$")
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:(?:,|\{,\}|\\,|\\!,)\d{3})+(?!\d)")
_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)$")
_FRACTION = re.compile(r"^([+-]?)(?:\\frac\{(-?\d+)\}\{(-?\d+)\}|\\frac(\d)(\d)|(-?\d+)/(-?\d+))$")
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\{([^{}]*)\}")
_EXPLOSIVE = re.compile(r"\*\*[^*]*\*\*|\^\s*\{?[^{}\s]*\^|\d{2,}\s*!|(?:\^|\*\*)\s*\{?\s*-?\d{4,}")
_PLAIN = re.compile(r"[A-Za-z ]*|-?\d+(?:/\d+)?")


def extract_answer(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}``, or None.

    Where a text closes its thinking with ``</think>``, only what follows counts.

    >>> extract_answer(r"so \boxed{3} ... wait, \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    """
    text = text.rsplit("</think>", 1)[-1]
    marker = r"\boxed{"
    start = text.rfind(marker)
    while start >= 0:
        begin = start + len(marker)
        depth = 1
        for at in range(begin, len(text)):
            depth += (text[at] == "{") - (text[at] == "}")
            if not depth:
                return text[begin:at].strip() or None
        start = text.rfind(marker, 0, start)
    return None


def canonical(answer: str | None) -> str | None:
    r"""Return the answer's canonical spelling, or None if it is ungradable.

    Choices become one letter, whole numbers lose signs and zeros that say nothing, decimals
    and simple fractions become reduced fractions. Anything else is only tidied.

    >>> [canonical(a) for a in (r"\text{(C)}", "1,204.0", r"\frac{2}{4}", ".50", "")]
    ['C', '1204', '1/2', '1/2', None]
    """
    if answer is None or len(answer) > MAX_CHARACTERS:
        return None
    text = _tidy(answer)
    if not text or _over_limits(text):
        return None
    if match := _CHOICE.match(text):
        return match[1].upper() if "(" in answer or match[1].isupper() else match[1]
    text = _THOUSANDS.sub(lambda m: re.sub(r"\D", "", m[0]), text)
    return _rational(text) or text


def _tidy(answer: str) -> str:
    text = answer.strip()
    for before, after in (
        ("\\left", ""), ("\\right", ""), ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"),
        ("\\(", ""), ("\\)", ""), ("\\[", ""), ("\\]", ""), ("\\!", ""), ("\\,", ","),
        ("\\$", ""), ("$", ""), ("\u2212", "-"),
    ):  # fmt: skip
        text = text.replace(before, after)
    text = _TEXT.sub(r"\1", text).strip()
    return re.sub(r"\s+", " ", text).removesuffix(".").strip()


def _over_limits(text: str) -> bool:
    depth = deepest = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    too_long = re.search(rf"\d{{{MAX_DIGITS + 1},}}", text)
    return deepest > MAX_NESTING or bool(too_long) or bool(_EXPLOSIVE.search(text))


def _rational(text: str) -> str | None:
    """Return a number as a reduced fraction's text, or None if it is not a plain number."""
    packed = text.replace(" ", "")
    if _NUMBER.match(packed):
        return str(Fraction(packed.removesuffix(".")))
    if match := _FRACTION.match(packed):
        top, bottom = [int(g) for g in match.groups()[1:] if g is not None]
        if bottom:
            return str(Fraction(top, bottom) * (-1 if match[1] == "-" else 1))
    return None


def partition(answers: Sequence[str | None]) -> np.ndarray:
    """Return each answer's class: (n,) int, numbered by first appearance, or UNGRADABLE.

    Equal canonical spellings share a class. Two spellings of which one is an expression are
    compared by a checker, in sorted order, and joined transitively; so the classes do not
    depend on the order of the answers.
    """
    keys = [canonical(answer) for answer in answers]
    parent = {key: key for key in keys if key is not None}

    def root(key: str) -> str:
        while parent[key] != key:
            key = parent[key]
        return key

    ordered = sorted(parent)
    hard = [key for key in ordered if not _PLAIN.fullmatch(key)]
    for key in hard:
        for other in ordered:
            if root(key) != root(other) and equivalent(*sorted((key, other))):
                parent[max(root(key), root(other))] = min(root(key), root(other))
    names: dict[str, int] = {}
    return np.array(
        [UNGRADABLE if k is None else names.setdefault(root(k), len(names)) for k in keys],
        dtype=np.int64,
    )


@dataclass(frozen=True)
class GradedQuestion:
    """A question's answer classes.

    ``classes``: (n,) one per trace; ``gold_class``: the right answer's class (a class of its
    own if no trace reached it), UNGRADABLE if the right answer is not known.
    """

    classes: np.ndarray
    gold_class: int


def grade(question: Question, traces: Sequence[Trace]) -> GradedQuestion:
    """Return the answer classes of a question's traces.

    A trace's stored answer counts where there is one, else the one extracted from its text.
    """
    answers = [extract_answer(t.text) if t.answer is None else t.answer for t in traces]
    classes = partition([*answers, question.gold])  # last, so it renumbers nothing
    return GradedQuestion(classes[:-1], int(classes[-1]))


def grade_all(traces: TraceSet) -> tuple[GradedQuestion, ...]:
    """Return the answer classes of every question."""
    rows = list(zip(traces.questions, traces.traces, strict=True))
    return tuple(grade(q, group) for q, group in tqdm(rows, desc="grade", delay=5, leave=False))
