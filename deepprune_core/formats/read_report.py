"""What a trace file held, in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deepprune_core.answers import find_answer
from deepprune_core.traces import TraceSet


@dataclass(frozen=True)
class ReadReport:
    """How a file was read: its ``kind``, and what was ``left_out``, by reason."""

    kind: str
    left_out: Mapping[str, int] = field(default_factory=dict)

    def line(self, path: str | Path, traces: TraceSet) -> str:
        """Return in one line what was read: questions, traces, answers and how, what was not."""
        told: Counter[str] = Counter()
        for trace in (trace for group in traces.traces for trace in group):
            if trace.answer is not None:
                told["stored"] += 1
            else:
                found = find_answer(trace.text)
                told[found.how if found else "none"] += 1
        names = {"stored": "stored in the file", "box": "in a box",
                 "phrase": "by a phrase, without a box", "none": "not found"}  # fmt: skip
        answers = ", ".join(f"{told[how]:,} {name}" for how, name in names.items() if told[how])
        if told["none"] == traces.num_traces > 0:
            answers = f"{traces.num_traces:,} of {traces.num_traces:,} traces have no answer"
        unknown = sum(question.gold is None for question in traces.questions)
        return "".join((
            f"{path}: {self.kind}: {len(traces.questions):,} questions, {traces.num_traces:,} "
            f"traces; answers: {answers or 'none'}",
            f"; right answer unknown for {unknown:,} questions" if unknown else "",
            f"; left out: {counted(self.left_out)}" if self.left_out else "",
        ))  # fmt: skip


def counted(reasons: Mapping[str, int]) -> str:
    """Return numbers with what they count, as in a sentence."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
