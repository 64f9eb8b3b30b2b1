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
