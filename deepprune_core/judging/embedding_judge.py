"""A judge that trains in seconds: logistic regression on two SentenceBERT embeddings.

It serves where no language model is at hand to be fine-tuned, such as a trace file on a laptop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.judging.pair_regression import PairRegression
from deepprune_core.judging.sentence_bert import EmbedsOnce, TextVectors

if TYPE_CHECKING:
    from deepprune_core.judging.inputs import JudgeInput


class EmbeddingJudge(EmbedsOnce, PairRegression):
    """P(same) from |u - v| and u * v of both prefixes' embeddings u and v.

    Args:
        vectors: embeddings, which several judges can share.
        penalty: strength of the L2 penalty (the inverse of scikit-learn's C).
    """

    def __init__(self, vectors: TextVectors, *, penalty: float = 1.0) -> None:
        from sklearn.linear_model import LogisticRegression

        self.of_texts = vectors
        super().__init__(LogisticRegression(C=1 / penalty, max_iter=500))

    def vectors(self, inputs: Sequence[JudgeInput]) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings of first and second prefixes, ``(n, size)`` each."""
        return self.of_texts.of_pairs(inputs)
