"""The part of a profile that says how its traces come to be: which model answers what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from replication.workflow.sections import Section


class Reasoner(Section):
    """A model that is sampled, as its model card (``card``) recommends.

    ``model``: hub name or folder; ``revision`` pins it. ``template``: switches of its chat
    template, such as those for thinking. ``released_as``: its name in the authors' data set.
    ``billions`` of parameters (``active`` ones of a mixture of experts) and ``mean_tokens`` of a
    trace serve the plan. ``prompt``: what a model without a chat template reads, with
    ``{question}`` in it; no instruction follows then.
    """

    model: str
    revision: str | None = None
    card: str
    temperature: float = Field(0.6, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    max_tokens: int = Field(32_768, ge=1)
    template: dict[str, Any] = Field(default_factory=dict)
    prompt: str | None = Field(None, pattern=r"\{question\}")
    released_as: str | None = None
    billions: float = Field(gt=0)
    active: float | None = Field(None, gt=0)
    mean_tokens: int = Field(ge=1)


class Job(Section):
    """``traces`` samples of every question of ``benchmarks`` by one of the reasoners.

    ``every``: only every so-manyth question of each benchmark, from the first on. ``continues``:
    another job of this reasoner; its traces are this one's first, for seeds are counted alike.
    ``confidences``: keep each token's confidence (two bytes), which DeepConf needs.
    """

    reasoner: str
    benchmarks: tuple[str, ...]
    traces: int = Field(ge=2)
    every: int = Field(1, ge=1)
    continues: str | None = None
    confidences: bool = False


class Collection(Section):
    """Jobs by the name of their file below ``folder``.

    ``source``: sample them, or take them from the authors' data set (``released``: a hub name
    or a folder). ``instruction`` follows a question; ``choice_instruction`` one with options.
    """

    folder: Path
    source: Literal["sample", "released"] = "sample"
    released: str = "THU-KEG/DeepPrune"
    released_revision: str | None = None
    instruction: str
    choice_instruction: str
    choice_benchmarks: tuple[str, ...] = ("gpqa-diamond",)
    reasoners: dict[str, Reasoner]
    jobs: dict[str, Job]

    @model_validator(mode="after")
    def _known_reasoners(self) -> Collection:
        for name, job in self.jobs.items():
            if job.reasoner not in self.reasoners:
                known = ", ".join(self.reasoners)
                raise ValueError(f"job {name}: no reasoner {job.reasoner!r}; there are {known}")
            other = self.jobs.get(job.continues) if job.continues else job
            alike = other and (other.reasoner, other.confidences) == (job.reasoner, job.confidences)
            if not alike:
                raise ValueError(
                    f"job {name}: expected `continues` to name a job of {job.reasoner} with "
                    f"confidences {job.confidences}, got {job.continues}"
                )
        return self

    def file(self, job: str) -> Path:
        """Return where a job's traces lie."""
        return self.folder / f"{job}.parquet"
