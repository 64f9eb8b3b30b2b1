"""Files of questions to sample traces for: JSON lines with question_id, question and gold."""

from __future__ import annotations

from pathlib import Path

from deepprune_core.formats.fields import gold_of
from deepprune_core.formats.records import TraceFileError, json_records
from deepprune_core.formats.trace_files import refuse_bad_set, required_field
from deepprune_core.traces import Question


def read_questions(path: Path) -> tuple[Question, ...]:
    """Return the questions in a file, in order.

    A line is an object with ``question``; ``question_id`` (default: the line's number), ``gold``
    and ``benchmark`` may be absent.

    Raises:
        TraceFileError: no such file, or a line that is no question; names file and line.
    """
    found = []
    for where, record in json_records(path):
        text, gold = required_field(record, "question", str, where), gold_of(record.get("gold"))
        if not text.strip():
            raise TraceFileError(f"{where}: the question is empty; write it or remove the line")
        found.append(
            Question(
                str(record.get("question_id", where.rpartition(":")[2].strip())),
                text,
                gold,
                str(record.get("benchmark", "")),
            )
        )
    refuse_bad_set(path, [question.question_id for question in found], [])
    return tuple(found)
