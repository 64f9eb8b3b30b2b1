"""What every judge reads and what every judge does, without any heavy library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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
