r"""Final answers: where a text gives one, and the partition into answer classes.

Each answer is read alone and becomes a key (:mod:`deepprune_core.grading.reading`); answers with
equal keys are one class. So *the same* is an equivalence that depends neither on the order of the
answers nor on what else was answered, but for units: a bare number joins those with a unit where
all units of the question agree. Labels of pairs, votes and redundancy all come from the class
id. An answer with no content, too long or nested too deep is *ungradable*: it has no class, never
votes, and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tqdm import tqdm

from deepprune_core.grading.reading import read
from deepprune_core.traces import Question, Trace, TraceSet

UNGRADABLE = -1
LONGEST_BOX = 4_000  # characters
SENTENCE = 5  # words from which an answer in words is a sentence

_BOX = re.compile(
    r"(?:\\|\x08)(?:boxed|fbox|framebox|oxed)(?![A-Za-z])\s*|(?<![A-Za-z\\])boxed(?=\{)"
)
_LOOSE = re.compile(r"[-+]?(?:\\?\$?\d|\\[A-Za-z]|\()[^\s$]*|[A-Z](?![A-Za-z])")
_TAGS = ("think", "thinking", "reasoning", "thought", "analysis")
_OPEN = re.compile(rf"<(?:{'|'.join(_TAGS)})>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</(?:{'|'.join(_TAGS)})>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_MARKS = r"[*_`\s]*"
_PHRASE = re.compile(
    r"####[ \t]*(?=(?P<hash>[^\n]+))|<answer>(?=(?P<tag>[\s\S]{0,4000}?)</answer>)"
    rf"|^[ \t]*#+[ \t]*(?:final\s+)?answer{_MARKS}$(?=(?P<below>\s*[^\n]+))"
    rf"|(?<![A-Za-z<])answer\"?{_MARKS}(?:\([^()]*\){_MARKS})?(?::|=|\bis\b|\bwould be\b)"
    rf"(?:{_MARKS}:)?"
    rf"(?=(?P<rest>{_MARKS}(?:\\\[[\s\S]{{0,400}}?\\\]|\$\$[\s\S]{{0,400}}?\$\$|[^\n]+)))",
    re.IGNORECASE | re.MULTILINE,
)
_ENDS = re.compile(r"\.(?=\s|[*_`]|$)|\s(?:because|since|which|as shown|so that)\s|[!?](?=\s|$)")
_NO_ANSWER = re.compile(
    r"(?:not|wrong|correct|right|incorrect|that|in|given|below)\b|\$?letter\b|.*\\boxed\s*\{\s*\}",
    re.IGNORECASE,
)

_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_FORMULA = re.compile(r"\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.√])-?\\?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?\\?%?(?![\w^])")
_ENDS_WITH = re.compile(r"\b(?:is|are|equals|=)\s+(?:a |an |the )?(\S+(?: \S+)?)$")
_ALONE = re.compile(r"\(?[A-J]\)?\.?|(?=.{1,24}$)[^\s<>]*\d[^\s<>]*")


@dataclass(frozen=True)
class Found:
    """A final answer, and how it was told: in a box, or by a phrase such as *The answer is*."""

    answer: str
    how: Literal["box", "phrase"]


def find_answer(text: str) -> Found | None:
    r"""Return the final answer that a text gives after its thinking, or None.

    The last box with something in it counts; where there is none, the last of the field's phrases
    (``The answer is 42.``, ``#### 42``, ``ANSWER: C``, ``<answer>12</answer>``).

    >>> find_answer("so #### 42")
    Found(answer='42', how='phrase')
    """
    said = after_thinking(text)
    boxed = last_box(said)
    if boxed is not None:
        return Found(boxed, "box")
    phrase = _last_phrase(said)
    if phrase is None and said != text and _ALONE.fullmatch(said.strip()):
        phrase = said.strip()  # nothing but the answer after the thinking
    return None if phrase is None else Found(phrase, "phrase")


def extract_answer(text: str) -> str | None:
    r"""Return the final answer that a text gives, or None; see :func:`find_answer`.

    >>> extract_answer(r"so \boxed{3} ... wait, \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    """
    found = find_answer(text)
    return None if found is None else found.answer


def after_thinking(text: str) -> str:
    """Return a text without its thinking, also where the thinking never began or never ends.

    >>> [after_thinking(text) for text in ("<think>a</think>b", "a</think>b", "b<think>a")]
    ['b', 'b', 'b']
    """
    closed = [match.end() for match in _CLOSE.finditer(text)]
    rest = text[closed[-1] :] if closed else text
    opened = _OPEN.search(rest)
    return rest[: opened.start()] if opened else rest


def last_box(text: str) -> str | None:
    """Return the content of the last closed box that holds something, else of one left open."""
    unclosed = None
    for match in reversed(list(_BOX.finditer(text))):
        content, closed = _content(text, match.end())
        if content and closed:
            return content
        unclosed = unclosed or content
    return unclosed


def _content(text: str, start: int) -> tuple[str | None, bool]:
    """Return (what stands in a box or None, whether it is closed); escaped braces do not count."""
    if text[start : start + 1] != "{":
        loose = _LOOSE.match(text, start)
        return (_balanced(loose[0]).rstrip(".,;:") if loose else None), loose is not None
    depth, at = 0, start
    while at < min(len(text), start + LONGEST_BOX):
        if text[at] == "\\":
            at += 2
            continue
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return text[start + 1 : at].strip() or None, True
        at += 1
    left_open = text[start + 1 : start + LONGEST_BOX]
    rest = re.split(r"\n|\\\)|\\\]|\$", left_open, maxsplit=1)[0]
    return rest.strip().rstrip(".").strip() or None, False


def _last_phrase(text: str) -> str | None:
    """Return the answer of the last phrase that tells one."""
    for match in reversed(list(_PHRASE.finditer(text))):
        told = next(filter(None, match.groups()), "")
        if bold := _BOLD.findall(told.lstrip("*_` \t\r\n:")):
            told = bold[-1]
        told = told.strip(" \t\r\n*_`:")
        told = re.sub(r"^(?:therefore|thus|then|just|simply|equal to|given by)[\s,:]+", "", told)
        if _NO_ANSWER.match(told):
            continue
        end = _ENDS.search(told)
        told = _balanced(told[: end.start()] if end else told).strip(" \t*_`:,;.\"'")
        if told:
            return _core(told)
    return None


def _core(told: str) -> str:
    """Return what a sentence says: the one formula or number in it, or what it ends with.

    >>> [_core(t) for t in ("There are 23 parrots on the island", "The ratio of both is 1/4")]
    ['23', '1/4']
    """
    if len(told.split()) < SENTENCE:
        return told
    formulas = _FORMULA.findall(told)
    if len(formulas) == 1:
        return formulas[0]
    if end := _ENDS_WITH.search(told):
        return end[1]
    numbers = _NUMBER.findall(told)
    return numbers[0] if len(numbers) == 1 else told


def _balanced(text: str) -> str:
    """Return a text up to the first bracket that closes nothing; a lone ``\\]`` goes too."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "{([") - (character in "})]")
        if depth < 0:
            return text[:at].rstrip("\\")
    return text


def canonical(answer: str | None) -> str | None:
    r"""Return the key by which an answer is compared, or None if it is ungradable.

    >>> [canonical(a) for a in (r"\text{(C)}", "1,204.0", r"\frac{2}{4}", ".50", "")]
    ['C', '1204', '1/2', '1/2', None]
    """
    reading = read(answer)
    return None if reading is None else reading.spelled()


def partition(answers: Sequence[str | None]) -> np.ndarray:
    """Return each answer's class: (n,) int, numbered by first appearance, or UNGRADABLE.

    >>> partition(["5 cm", "5", "0.05 m", "5 km", None]).tolist(), partition(["5 cm", "5"]).tolist()
    ([0, 1, 0, 2, -1], [0, 0])
    """
    readings = [read(answer) for answer in answers]
    units = {reading.unit for reading in readings if reading and reading.unit}
    sole = units.pop() if len(units) == 1 else None
    names: dict[str, int] = {}
    return np.array(
        [
            UNGRADABLE if r is None else names.setdefault(r.spelled(sole), len(names))
            for r in readings
        ],
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
