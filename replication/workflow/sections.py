"""Parts of a profile that have no module of their own; see :mod:`replication.workflow.profile`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a profile: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EncodeOnceSection(Section):
    """A second judge, which reads each prefix once (:mod:`judging.encode_once`).

    It is trained on all pairs of the training traces, ``epochs`` times, and ships in the
    profile's folder of judges. ``batch_tokens``: tokens of a training step; ``micro_tokens``: of
    a forward pass, for short rows need less memory (default: the judge's). ``scores`` holds its
    scores of all stored pairs. ``judge_cost``: the price of one of its tokens, where it is not
    ``pruning.judge_cost``.

    Notebook 08 replays ``traces`` a question of the files ``online`` (default: Table 2's), where
    clusters have ``max_representatives`` and ``k2`` traces finish.
    """

    epochs: int = Field(5, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    batch_tokens: int = Field(8192, ge=1)
    micro_tokens: int | None = Field(None, ge=1)
    scores: Path | None = None
    judge_cost: float | None = Field(None, ge=0)
    traces: int = Field(64, ge=2)
    online: tuple[Path, ...] = ()
    max_representatives: int = Field(8, ge=1)
    k2: int = Field(8, ge=1)


class OwnStatesSection(Section):
    """A judge from the states that a reasoner holds over its own prefixes.

    ``reasoner`` names one of ``collect.reasoners``, whose model reads its own prefixes and those
    of the unseen reasoners; ``layers``: after which its states are taken, from 1. ``tokens``: the
    cuts at which it is trained and tested. ``ridges`` and ``penalties`` are tried, and chosen on
    the development questions, within questions. ``heads`` holds what was learned, ``scores`` the
    scores of the test pairs at every cut.
    """

    reasoner: str
    layers: tuple[int, ...] = Field(min_length=1)
    tokens: tuple[int, ...] = Field(min_length=1)
    ridges: tuple[float, ...] = (1e3, 1e4)
    penalties: tuple[float, ...] = (1.0, 100.0, 10_000.0)
    heads: Path
    scores: Path


class RolloutsSection(Section):
    """``continuations`` of each of a question's first ``prefixes``, by its own reasoner.

    ``jobs``: of ``collect.jobs``, with the numbers of tokens after which their traces are cut.
    Only questions count whose first traces disagree, ``questions`` of a job at most. ``file``:
    the answers.
    """

    jobs: dict[str, tuple[int, ...]] = Field(min_length=1)
    questions: int = Field(40, ge=1)
    prefixes: int = Field(5, ge=2)
    continuations: int = Field(16, ge=2)
    file: Path
