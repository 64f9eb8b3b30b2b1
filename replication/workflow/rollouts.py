"""The part of a profile about rollouts: how often a prefix ends where."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from replication.workflow.section import Section


class RolloutsSection(Section):
    """``continuations`` of each of a question's first ``prefixes``, by the reasoner of ``job``.

    ``job`` names one of ``collect.jobs``, whose traces are cut after ``tokens``. Only questions
    count whose first traces disagree, ``questions`` of them at most. ``file``: the answers.
    """

    job: str
    tokens: tuple[int, ...] = Field(min_length=1)
    questions: int = Field(40, ge=1)
    prefixes: int = Field(5, ge=2)
    continuations: int = Field(16, ge=2)
    file: Path
