"""What all parts of a profile have in common: unknown keys are errors, values do not change."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)
