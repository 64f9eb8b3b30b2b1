"""The part of a profile about rollouts: how often a prefix ends where."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from replication.workflow.section import Section


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
