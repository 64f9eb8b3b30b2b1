"""A judge that trains in seconds: logistic regression on what two vectors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from deepprune_core.judging.inputs import JudgeInput


def refuse_one_kind(same: np.ndarray) -> None:
    """Raise ValueError where labels of pairs ``(n,)`` are all the same: they teach nothing."""
    if len(np.unique(same)) < 2:
        raise ValueError(
            "expected same and different pairs to train on, got one kind only; "
            "give a file with more questions on which traces disagree"
        )


class PairRegression(ABC):
    """P(same) from |u - v| and u * v of both prefixes' vectors u and v.

    Args:
        model: a classifier of scikit-learn.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @abstractmethod
    def vectors(self, inputs: Sequence[JudgeInput]) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors of first and second prefixes, ``(n, size)`` each."""

    def fit(self, inputs: Sequence[JudgeInput], same: np.ndarray) -> Self:
        """Train on labelled pairs; ``same``: (n,) bool.

        Raises:
            ValueError: only one label occurs.
        """
        refuse_one_kind(same)
        self._model.fit(self._features(inputs), same)
        return self

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64."""
        if not len(inputs):
            return np.zeros(0)
        return np.asarray(self._model.predict_proba(self._features(inputs))[:, 1])

    def _features(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        first, second = self.vectors(inputs)
        return np.hstack([np.abs(first - second), first * second])
