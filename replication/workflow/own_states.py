"""The part of a profile about the judge from the reasoner's own states."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from replication.workflow.section import Section


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
