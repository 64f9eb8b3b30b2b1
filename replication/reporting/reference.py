"""The paper's reported numbers, typed: ``data/paper_reference.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

PATH = Path(__file__).parents[2] / "data" / "paper_reference.yaml"
Pair = tuple[float, float]
Cut = Literal["tokens", "words"]


@dataclass(frozen=True)
class Setting:
    """One threshold of Table 3: (tokens in 1e8, percent) without and with the vote."""

    clustering: Pair
    voting: Pair


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Figure2a(_Strict):
    reasoners: dict[str, float]
    average: float


class _Point(_Strict):
    auroc: float = Field(ge=0, le=1)
    tnr: float = Field(ge=0, le=1)


class _Version2(_Strict):
    saved_percent: Pair
    within_points: float


class Reference(_Strict):
    """All reported numbers; shares in [0, 1], tokens in 1e8, accuracies in percent.

    ``table1[cut][row][model]``: (AUROC, TNR@FNR=0.2), model ``average`` included;
    ``table2[model][method][benchmark]`` and ``table3[benchmark][tau]`` as named;
    ``figure4[cut][k]``: average AUROC.
    """

    figure2: _Figure2a = Field(alias="figure2a")
    figure2bc: dict[Literal["sentence_bert", "zero_shot"], _Point]
    table1: dict[Cut, dict[str, dict[str, Pair]]]
    table1_v2_auroc: float
    table2: dict[str, dict[str, dict[str, Pair]]]
    table2_v2: _Version2
    table3: dict[str, dict[float, Setting]]
    figure4: dict[Cut, dict[int, float]]

    @property
    def figure2a(self) -> dict[str, float]:
        """Share of same-answer pairs by reasoner."""
        return self.figure2.reasoners

    @property
    def figure2a_average(self) -> float:
        """The average as the paper prints it, which is not the mean of its reasoners."""
        return self.figure2.average


@cache
def load_reference(path: Path = PATH) -> Reference:
    """Return the paper's numbers; raises pydantic's ValidationError on a malformed file."""
    return Reference.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
