"""A judge that trains in seconds: logistic regression on two SentenceBERT embeddings.

It serves where no language model is at hand to be fine-tuned, such as a trace file on a laptop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.judging.pair_regression import PairRegression
from deepprune_core.judging.sentence_bert import prefix_tokens

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from deepprune_core.judging.inputs import JudgeInput


class EmbeddingJudge(PairRegression):
    """P(same) from |u - v| and u * v of both prefixes' embeddings u and v.

    Args:
        encoder: a SentenceBERT model.
        penalty: strength of the L2 penalty (the inverse of scikit-learn's C).
        vectors: embeddings by text, which several judges with one encoder can share.
    """

    def __init__(
        self,
        encoder: SentenceTransformer,
        *,
        penalty: float = 1.0,
        vectors: dict[str, np.ndarray] | None = None,
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self.encoder = encoder
        super().__init__(LogisticRegression(C=1 / penalty, max_iter=500))
        self._vectors = {} if vectors is None else vectors

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens the encoder reads per pair: ``(n,)`` int64."""
        limit = int(self.encoder.max_seq_length or 512)
        return np.maximum(1, prefix_tokens(self.encoder, inputs, limit))

    def vectors(self, inputs: Sequence[JudgeInput]) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings of first and second prefixes, ``(n, size)`` each."""
        fresh = sorted({t for p in inputs for t in (p.first, p.second)} - self._vectors.keys())
        if fresh:
            vectors = self.encoder.encode(
                fresh, batch_size=64, normalize_embeddings=True, show_progress_bar=len(fresh) > 200
            )
            self._vectors.update(zip(fresh, np.asarray(vectors, dtype=np.float64), strict=True))
        first = np.array([self._vectors[p.first] for p in inputs])
        second = np.array([self._vectors[p.second] for p in inputs])
        return first, second
