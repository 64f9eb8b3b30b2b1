"""What every judge reads and what every judge does, without any heavy library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class JudgeInput:
    """One question to the judge: will the two prefixes reach the same final answer?"""

    question: str
    first: str
    second: str

    @property
    def swapped(self) -> JudgeInput:
        """The same pair in the other order."""
        return JudgeInput(self.question, self.second, self.first)


class Judge(Protocol):
    """Anything that scores pairs of prefixes."""

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64 in [0, 1], in input order."""
        ...

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the prompt tokens the judge reads per pair: ``(n,)`` int64."""
        ...


@runtime_checkable
class ReadsOnce(Protocol):
    """A judge that reads each prefix once, whatever it is compared with."""

    def text_tokens(self, texts: Sequence[tuple[str, str]]) -> np.ndarray:
        """Return the tokens of reading each (question, prefix): ``(n,)`` int64."""
        ...


def first_readings(judge: ReadsOnce, inputs: Sequence[JudgeInput]) -> np.ndarray:
    """Return the tokens of reading pairs from nothing: ``(n,)`` int64.

    A prefix counts in the first of the pairs that holds it. What was read in earlier calls is not
    known here: see :class:`TokenMeter`.
    """
    counts, met = np.zeros(len(inputs), dtype=np.int64), set[tuple[str, str]]()
    for i, pair in enumerate(inputs):
        both = dict.fromkeys(((pair.question, pair.first), (pair.question, pair.second)))
        new = [text for text in both if text not in met]
        met.update(new)
        counts[i] = judge.text_tokens(new).sum()
    return counts


class TokenMeter:
    """Adds up what a judge reads for one question over many calls.

    Where a judge reads each prefix once, a prefix counts when it is first asked about, whatever
    the judge may still hold from another question or run.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge, self.tokens = judge, 0
        self._met: set[tuple[str, str]] = set()

    def add(self, inputs: Sequence[JudgeInput]) -> None:
        """Count the reading of pairs."""
        if not isinstance(self.judge, ReadsOnce):
            self.tokens += int(self.judge.num_tokens(inputs).sum())
            return
        texts = [(p.question, text) for p in inputs for text in (p.first, p.second)]
        new = [text for text in dict.fromkeys(texts) if text not in self._met]
        self._met.update(new)
        self.tokens += int(self.judge.text_tokens(new).sum())


def pair_tokens(judge: Judge, inputs: Sequence[JudgeInput]) -> np.ndarray:
    """Return what each pair costs by itself: ``(n,)``; nothing where prefixes are read once."""
    if isinstance(judge, ReadsOnce):
        return np.zeros(len(inputs), dtype=np.int64)
    return judge.num_tokens(inputs)


def reading_tokens(judge: Judge, question: str, prefixes: Sequence[str]) -> np.ndarray | None:
    """Return what a judge reads once for each prefix: ``(n,)``; None if it reads pairs."""
    if not isinstance(judge, ReadsOnce):
        return None
    return judge.text_tokens([(question, prefix) for prefix in prefixes])
