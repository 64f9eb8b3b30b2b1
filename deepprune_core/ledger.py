"""The token ledger: where every generated token went, and what the judge cost.

The identity of the house: kept + pruned + after_abort = all tokens that were generated. The
paper counts generated tokens only (*gross*); *net* adds what the judge read, scaled by how
dear a judge's token is beside a reasoner's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TraceState(StrEnum):
    """How a trace ended; each trace has exactly one state."""

    FINISHED = "finished"  # ran to its end and may vote
    PRUNED = "pruned"  # stopped at its truncation point, stood in by its cluster
    NOT_CHOSEN = "not chosen"  # in the voting cluster, but beyond the K2 that finish
    OVERFLOW = "overflow"  # matched no cluster when K clusters existed, and was stopped
    DECIDED = "decided"  # stopped because it could not change the vote any more
    FAILED = "failed"  # the engine broke off


@dataclass(frozen=True)
class Ledger:
    """Tokens of one question, or of many added up.

    ``kept``: tokens of traces that finished; ``pruned``: tokens that stopped traces had
    generated; ``after_abort``: tokens an engine still produced after it was told to stop;
    ``baseline``: tokens of all traces in full, which is what plain voting costs;
    ``judge``: prompt tokens the judge read; ``judge_calls``: pairs it was asked about.
    """

    kept: int = 0
    pruned: int = 0
    after_abort: int = 0
    baseline: int = 0
    judge: int = 0
    judge_calls: int = 0

    def __post_init__(self) -> None:
        if min(self.kept, self.pruned, self.after_abort, self.baseline, self.judge) < 0:
            raise ValueError(f"expected token counts >= 0, got {self}")
        if self.judge > 0 and not self.judge_calls:
            raise ValueError(f"expected judge tokens only where a judge was asked, got {self}")

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(
            self.kept + other.kept,
            self.pruned + other.pruned,
            self.after_abort + other.after_abort,
            self.baseline + other.baseline,
            self.judge + other.judge,
            self.judge_calls + other.judge_calls,
        )

    @property
    def generated(self) -> int:
        """All tokens the reasoner produced."""
        return self.kept + self.pruned + self.after_abort

    @property
    def saved_gross(self) -> float:
        """Share of the baseline's tokens not generated, as the paper counts; NaN without one."""
        return 1 - self.generated / self.baseline if self.baseline else float("nan")

    def saved_net(self, judge_cost: float = 1.0) -> float:
        """Return the share saved when a judge's token costs ``judge_cost`` reasoner tokens.

        For dense models of one architecture the ratio of parameters is a fair ``judge_cost``.
        """
        if not self.baseline:
            return float("nan")
        return 1 - (self.generated + judge_cost * self.judge) / self.baseline
