"""The part of a profile about the judge that reads each prefix once."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from replication.workflow.section import Section


class EncodeOnceSection(Section):
    """A second judge, which reads each prefix once (:mod:`judging.encode_once`).

    It is trained on all pairs of the training traces, ``epochs`` times, and ships in the
    profile's folder of judges. ``batch_tokens``: tokens of a training step. ``scores`` holds its
    scores of all stored pairs.

    Notebook 08 replays ``traces`` a question with it, where clusters have
    ``max_representatives`` and ``k2`` traces finish.
    """

    epochs: int = Field(5, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    batch_tokens: int = Field(8192, ge=1)
    scores: Path | None = None
    traces: int = Field(64, ge=2)
    max_representatives: int = Field(8, ge=1)
    k2: int = Field(8, ge=1)
