"""SentenceBERT's vectors of prefixes, computed once for all notebooks of a run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from deepprune_core.judging.sentence_bert import TextVectors, open_encoder
from replication.run import Run


def first_words(run: Run) -> TextVectors:
    """Return the vectors of the first tokens that the encoder reads, as in the paper."""
    return _vectors(run.profile.sentence_bert, run.work / "first-words.npz", "right")


def last_words(run: Run) -> TextVectors:
    """Return the vectors of the last tokens, where a prefix is longer than the encoder reads."""
    return _vectors(run.profile.sentence_bert, run.work / "last-words.npz", "left")


@cache
def _vectors(source: str | None, path: Path, left_out: str) -> TextVectors:
    encoder = open_encoder(source)
    encoder.tokenizer.truncation_side = left_out
    return TextVectors(encoder, path)
